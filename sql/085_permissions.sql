-- Who else than its holder may do what in the tables that were there before there was a sign-in: the desk, admins, collaborators.
-- Policies of one table are joined by OR.

ALTER TABLE user_accounts
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspended_reason text,
    ADD CONSTRAINT user_accounts_suspended_reason_length CHECK (char_length(suspended_reason) BETWEEN 1 AND 500),
    ADD CONSTRAINT user_accounts_suspended_reason_when_suspended CHECK (suspended_reason IS NULL OR suspended_at IS NOT NULL);

COMMENT ON COLUMN user_accounts.suspended_at IS 'Since when; whether it is, users.status alone says.';

-- The desk sees accounts in any standing, and of what the gateway shows to everybody it sees nothing.
ALTER POLICY active_is_public ON users
    USING (status = 'active' AND (SELECT kababeat_role()) <> 'authenticator');
ALTER POLICY public_with_its_user ON user_profiles
    USING ((SELECT kababeat_role()) <> 'authenticator' AND EXISTS (SELECT FROM users WHERE users.id = user_profiles.user_id));
ALTER POLICY published_is_public ON beats
    USING (status = 'published' AND (SELECT kababeat_role()) <> 'authenticator');
ALTER POLICY public_is_public ON playlists
    USING (is_public AND (SELECT kababeat_role()) <> 'authenticator');

CREATE POLICY authenticator_reads ON users FOR SELECT
    USING ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY authenticator_registers ON users FOR INSERT
    WITH CHECK ((SELECT kababeat_role()) = 'authenticator' AND status = 'active' AND NOT is_verified);
CREATE POLICY authenticator_edits ON users FOR UPDATE
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY authenticator_reads ON user_accounts FOR SELECT
    USING ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY authenticator_registers ON user_accounts FOR INSERT
    WITH CHECK ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY authenticator_edits ON user_accounts FOR UPDATE
    USING ((SELECT kababeat_role()) = 'authenticator') WITH CHECK ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY authenticator_reads ON user_roles FOR SELECT
    USING ((SELECT kababeat_role()) = 'authenticator');
CREATE POLICY authenticator_makes_users ON user_roles FOR INSERT
    WITH CHECK ((SELECT kababeat_role()) = 'authenticator' AND role = 'user' AND permissions = '[]');
CREATE POLICY authenticator_announces ON outbox FOR INSERT
    WITH CHECK ((SELECT kababeat_role()) = 'authenticator' AND aggregate_type IN ('mail', 'user'));

CREATE POLICY admin_reads ON users FOR SELECT
    USING ((SELECT kababeat_role()) = 'admin');
CREATE POLICY admin_edits ON users FOR UPDATE
    USING ((SELECT kababeat_role()) = 'admin') WITH CHECK ((SELECT kababeat_role()) = 'admin');
CREATE POLICY admin_reads ON user_accounts FOR SELECT
    USING ((SELECT kababeat_role()) = 'admin');
CREATE POLICY admin_edits ON user_accounts FOR UPDATE
    USING ((SELECT kababeat_role()) = 'admin') WITH CHECK ((SELECT kababeat_role()) = 'admin');
CREATE POLICY admin_reads ON user_roles FOR SELECT
    USING ((SELECT kababeat_role()) = 'admin');
CREATE POLICY admin_grants ON user_roles FOR INSERT
    WITH CHECK ((SELECT kababeat_role()) = 'admin' AND granted_by = (SELECT kababeat_user()));
CREATE POLICY admin_revokes ON user_roles FOR DELETE
    USING ((SELECT kababeat_role()) = 'admin' AND role <> 'user');
CREATE POLICY admin_reads ON beats FOR SELECT
    USING ((SELECT kababeat_role()) = 'admin');

-- Whoever wants to sell may: that role alone an account takes for itself.
CREATE POLICY own_becomes_creator ON user_roles FOR INSERT
    WITH CHECK (user_id = (SELECT kababeat_user()) AND role = 'creator' AND granted_by IS NULL AND permissions = '[]');

-- A row policy cannot compare the old row with the new one; these can. They bind accounts, not the desk and not the system.
CREATE TRIGGER users_standing_is_given BEFORE UPDATE ON users FOR EACH ROW
WHEN (
    (OLD.id, OLD.status, OLD.deleted_at, OLD.is_verified, OLD.source, OLD.external_id)
        IS DISTINCT FROM (NEW.id, NEW.status, NEW.deleted_at, NEW.is_verified, NEW.source, NEW.external_id)
    AND kababeat_user() IS NOT NULL AND kababeat_role() <> 'admin'
) EXECUTE FUNCTION kababeat_refuse();

CREATE TRIGGER user_accounts_suspension_is_given BEFORE UPDATE ON user_accounts FOR EACH ROW
WHEN (
    (OLD.suspended_at, OLD.suspended_reason) IS DISTINCT FROM (NEW.suspended_at, NEW.suspended_reason)
    AND kababeat_user() IS NOT NULL AND kababeat_role() <> 'admin'
) EXECUTE FUNCTION kababeat_refuse();

-- An address is its holder's to change and a mailed link's to verify: no account verifies one, no admin takes one over.
CREATE TRIGGER user_accounts_email_is_proven BEFORE UPDATE ON user_accounts FOR EACH ROW
WHEN (
    (OLD.email, OLD.email_verified_at) IS DISTINCT FROM (NEW.email, NEW.email_verified_at)
    AND kababeat_user() IS NOT NULL AND (kababeat_user() <> OLD.user_id OR NEW.email_verified_at IS NOT NULL)
) EXECUTE FUNCTION kababeat_refuse();

-- Beats that are shared. The index of the primary key of `beat_permissions` answers each of these for one beat.
CREATE POLICY shared_is_readable ON beats FOR SELECT
    USING (deleted_at IS NULL AND EXISTS (
        SELECT FROM beat_permissions AS permission
        WHERE permission.beat_id = beats.id AND permission.user_id = (SELECT kababeat_user()) AND permission.accepted_at IS NOT NULL
    ));
CREATE POLICY shared_is_editable ON beats FOR UPDATE
    USING (deleted_at IS NULL AND EXISTS (
        SELECT FROM beat_permissions AS permission
        WHERE permission.beat_id = beats.id AND permission.user_id = (SELECT kababeat_user()) AND permission.accepted_at IS NOT NULL
            AND permission.permission_type IN ('owner', 'collaborator')
    ))
    WITH CHECK (deleted_at IS NULL AND EXISTS (
        SELECT FROM beat_permissions AS permission
        WHERE permission.beat_id = beats.id AND permission.user_id = (SELECT kababeat_user()) AND permission.accepted_at IS NOT NULL
            AND permission.permission_type IN ('owner', 'collaborator')
    ));
-- Checks are joined by OR too: to one who may edit a beat of another's, a beat that he takes would look like a beat of his own.
CREATE TRIGGER beats_creator_stays BEFORE UPDATE ON beats FOR EACH ROW
WHEN ((OLD.id, OLD.creator_id) IS DISTINCT FROM (NEW.id, NEW.creator_id) AND kababeat_user() IS NOT NULL)
EXECUTE FUNCTION kababeat_refuse();
-- What the front page shows is an admin's choice.
CREATE TRIGGER beats_featured_is_given BEFORE UPDATE ON beats FOR EACH ROW
WHEN (OLD.is_featured <> NEW.is_featured AND kababeat_user() IS NOT NULL AND kababeat_role() <> 'admin')
EXECUTE FUNCTION kababeat_refuse();
ALTER POLICY own_is_creatable ON beats
    WITH CHECK (creator_id = (SELECT kababeat_user()) AND NOT is_featured);

CREATE POLICY of_shared_beat ON beat_content_staged
    USING (EXISTS (
        SELECT FROM beat_permissions AS permission
        WHERE permission.beat_id = beat_content_staged.beat_id AND permission.user_id = (SELECT kababeat_user())
            AND permission.accepted_at IS NOT NULL AND permission.permission_type IN ('owner', 'collaborator')
    ))
    WITH CHECK (EXISTS (
        SELECT FROM beat_permissions AS permission
        WHERE permission.beat_id = beat_content_staged.beat_id AND permission.user_id = (SELECT kababeat_user())
            AND permission.accepted_at IS NOT NULL AND permission.permission_type IN ('owner', 'collaborator')
    ));

-- An invitation is for the invited to accept, once. Declining it, leaving and being removed are all DELETE, which is there already.
REVOKE UPDATE ON beat_permissions FROM kababeat_gateway;
GRANT UPDATE (accepted_at) ON beat_permissions TO kababeat_gateway;
CREATE POLICY invited_accepts ON beat_permissions FOR UPDATE
    USING (user_id = (SELECT kababeat_user()) AND accepted_at IS NULL)
    WITH CHECK (user_id = (SELECT kababeat_user()) AND accepted_at IS NOT NULL);
