-- What became of a folder's files is told a page at a time.

CREATE INDEX watched_files_by_age ON watched_files (folder, taken_at, inode) WHERE job IS NOT NULL OR error IS NOT NULL;
