ALTER TABLE orders RENAME COLUMN payment_reference_id TO payment_ref;
