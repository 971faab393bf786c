-- From version 36 to 37.

-- No two outputs of a job come to one address.
ALTER TABLE deliveries ADD COLUMN address TEXT;
CREATE INDEX deliveries_by_address ON deliveries (address) WHERE address IS NOT NULL;
