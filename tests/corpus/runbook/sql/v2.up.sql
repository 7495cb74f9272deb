ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id;
