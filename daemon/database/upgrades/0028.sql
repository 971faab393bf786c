-- Files of watched folders are known by name, size and time, too: not every file system keeps its inodes.

CREATE INDEX watched_files_by_name ON watched_files (folder, name);
