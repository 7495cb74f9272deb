-- Checkout v2: the payment reference under the provider's name, who charged, in what, and from where.
ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id;
ALTER TABLE orders ADD COLUMN psp text;
ALTER TABLE orders ADD COLUMN currency text;
ALTER TABLE orders ADD COLUMN channel text;
ALTER TYPE order_status ADD VALUE 'awaiting_confirmation' BEFORE 'confirmed';
