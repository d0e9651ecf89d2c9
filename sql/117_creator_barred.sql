-- Whoever an admin took the role of a creator from does not take it back.

ALTER TABLE user_accounts ADD COLUMN creator_barred_at timestamptz;

COMMENT ON COLUMN user_accounts.creator_barred_at IS 'Since when an admin keeps the account from being a creator; NULL: it may become one by itself.';

CREATE TRIGGER user_accounts_bar_is_given BEFORE UPDATE ON user_accounts FOR EACH ROW
WHEN (OLD.creator_barred_at IS DISTINCT FROM NEW.creator_barred_at AND kababeat_user() IS NOT NULL AND kababeat_role() <> 'admin')
EXECUTE FUNCTION kababeat_refuse();

ALTER POLICY own_becomes_creator ON user_roles
    WITH CHECK (
        user_id = (SELECT kababeat_user()) AND role = 'creator' AND granted_by IS NULL AND permissions = '[]'
        AND NOT EXISTS (
            SELECT FROM user_accounts WHERE user_accounts.user_id = user_roles.user_id AND creator_barred_at IS NOT NULL)
    );
