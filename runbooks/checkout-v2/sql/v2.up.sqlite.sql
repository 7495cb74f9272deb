-- Checkout v2: the payment reference under the provider's name, who charged, in what, and from where.
-- The new status needs no statement here: nothing in the table says which there are.
ALTER TABLE orders RENAME COLUMN payment_ref TO payment_reference_id;
ALTER TABLE orders ADD COLUMN psp TEXT;
ALTER TABLE orders ADD COLUMN currency TEXT;
ALTER TABLE orders ADD COLUMN channel TEXT;
