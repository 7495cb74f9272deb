-- What was written beside the up migration, and why it was not run: it loses the three columns of every order of v2,
-- and the status that v1 cannot read stays in the rows. Only its first statement is part of the recovery.
ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref;
ALTER TABLE orders DROP COLUMN channel;
ALTER TABLE orders DROP COLUMN currency;
ALTER TABLE orders DROP COLUMN psp;
