-- Who made a beat keeps it; to change it, share it or publish it takes the role of a creator as well, which an admin can take away.

CREATE FUNCTION kababeat_is_creator() RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM public.user_roles WHERE user_id = public.kababeat_user() AND role = 'creator');
END
$$;

COMMENT ON FUNCTION kababeat_is_creator() IS
    'Whether the account of this transaction holds the role of a creator. kababeat_role() does not say: it names the highest role alone.';

ALTER POLICY own_is_creatable ON beats
    WITH CHECK (creator_id = (SELECT kababeat_user()) AND NOT is_featured AND (SELECT kababeat_is_creator()));
ALTER POLICY creator_grants ON beat_permissions
    WITH CHECK (granted_by = (SELECT kababeat_user()) AND accepted_at IS NULL AND (SELECT kababeat_is_creator()));
ALTER POLICY creator_offers ON beat_splits
    WITH CHECK (
        offered_by = (SELECT kababeat_user()) AND (accepted_at IS NULL OR user_id = offered_by) AND (SELECT kababeat_is_creator()));

-- A policy cannot tell what a change changes: taking a beat back, archiving and deleting it stay its maker's whatever becomes of the role.
-- Collaborators are no part of this: what they may do is content and words, by the leave of whoever made the beat, and never publication,
-- price or shares.
CREATE FUNCTION kababeat_refuse_former_creator() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF public.kababeat_user() = OLD.creator_id AND NOT public.kababeat_is_creator() THEN
        RAISE EXCEPTION 'refused by %', TG_NAME
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$$;

REVOKE EXECUTE ON FUNCTION kababeat_refuse_former_creator() FROM PUBLIC;

CREATE TRIGGER beats_change_takes_a_creator BEFORE UPDATE ON beats FOR EACH ROW
WHEN (
    OLD.title <> NEW.title OR OLD.description IS DISTINCT FROM NEW.description OR OLD.content_version <> NEW.content_version
    OR OLD.currency <> NEW.currency OR OLD.price_basic IS DISTINCT FROM NEW.price_basic
    OR OLD.price_premium IS DISTINCT FROM NEW.price_premium OR OLD.price_exclusive IS DISTINCT FROM NEW.price_exclusive
    OR (NEW.status = 'published' AND OLD.status <> 'published')
)
EXECUTE FUNCTION kababeat_refuse_former_creator();

-- Creators that a catalogue brought have the roles that accounts made here have; the import gives them to new ones.
INSERT INTO user_roles (user_id, role)
SELECT users.id, role FROM users, unnest(ARRAY['user', 'creator']) AS role
WHERE users.source IS NOT NULL AND users.is_creator AND users.status <> 'deleted'
ON CONFLICT DO NOTHING;
