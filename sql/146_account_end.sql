-- What is left of an account that ends, and what one that is suspended goes back to.

-- A mail that was sent needs no address any more.
ALTER TABLE mails
    ALTER COLUMN recipient DROP NOT NULL,
    ADD CONSTRAINT mails_waiting_has_recipient CHECK (sent_at IS NOT NULL OR recipient IS NOT NULL);
GRANT UPDATE (recipient) ON mails TO kababeat_gateway;
COMMENT ON COLUMN mails.recipient IS 'Forgotten once the mail is sent, as its text is.';

UPDATE mails SET recipient = NULL WHERE sent_at IS NOT NULL;
UPDATE sessions SET user_agent = NULL, address = NULL
WHERE user_id IN (SELECT id FROM users WHERE status = 'deleted') AND (user_agent IS NOT NULL OR address IS NOT NULL);

-- What the desk does not see of an account that its holder ends: mails on their way to its address, answers that are kept for its requests,
-- what it liked, followed, was told and had in its cart. Before the address itself is gone.
CREATE FUNCTION kababeat_forget_account(account uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    caller text := current_setting('kababeat.role', true);
    letters uuid[];
BEGIN
    IF caller IS DISTINCT FROM 'authenticator' THEN
        RAISE EXCEPTION 'only the sign-in desk ends accounts' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('kababeat.role', 'system', true);
    letters := ARRAY(
        SELECT mails.id FROM public.mails JOIN public.user_accounts ON user_accounts.email_key = lower(mails.recipient)
        WHERE user_accounts.user_id = account);
    DELETE FROM public.outbox WHERE aggregate_type = 'mail' AND aggregate_id = ANY (letters);
    DELETE FROM public.mails WHERE id = ANY (letters);
    DELETE FROM public.idempotency_keys WHERE principal_id = account;
    DELETE FROM public.sign_in_attempts WHERE link_user_id = account;
    DELETE FROM public.favorites WHERE user_id = account;
    DELETE FROM public.follows WHERE follower_id = account OR followed_id = account;
    DELETE FROM public.notifications WHERE user_id = account;
    DELETE FROM public.carts WHERE user_id = account;
    PERFORM set_config('kababeat.role', caller, true);
END
$$;

COMMENT ON FUNCTION kababeat_forget_account(uuid) IS
    'Deletes what says of an account who it was, outside of the tables that the sign-in desk keeps. For the sign-in desk.';

REVOKE EXECUTE ON FUNCTION kababeat_forget_account(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kababeat_forget_account(uuid) TO kababeat_gateway;

ALTER TABLE user_accounts
    ADD COLUMN suspended_from text,
    ADD CONSTRAINT user_accounts_suspended_from_known CHECK (suspended_from IN ('pending', 'active')),
    ADD CONSTRAINT user_accounts_suspended_from_when_suspended CHECK (suspended_from IS NULL OR suspended_at IS NOT NULL);

COMMENT ON COLUMN user_accounts.suspended_from IS 'How the account stood before it was suspended; NULL where that was not written down yet.';

CREATE OR REPLACE TRIGGER user_accounts_suspension_is_given BEFORE UPDATE ON user_accounts FOR EACH ROW
WHEN (
    (OLD.suspended_at, OLD.suspended_reason, OLD.suspended_from)
        IS DISTINCT FROM (NEW.suspended_at, NEW.suspended_reason, NEW.suspended_from)
    AND kababeat_user() IS NOT NULL AND kababeat_role() <> 'admin'
) EXECUTE FUNCTION kababeat_refuse();
