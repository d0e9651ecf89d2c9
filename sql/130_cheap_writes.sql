-- What every write of a beat pays for. A trigger's condition is planned anew at every statement, functions inlined and all, whether or not
-- its columns change: so conditions compare columns, which is cheap, and who may change them is asked by the function, which is called
-- only where they do change.

-- Refuses accounts, but for those that the trigger's arguments name: `admin`, and `creator` for the beat's own.
CREATE FUNCTION kababeat_refuse_accounts() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF public.kababeat_user() IS NULL
        OR 'admin' = ANY (TG_ARGV) AND public.kababeat_role() = 'admin'
        OR 'creator' = ANY (TG_ARGV) AND public.kababeat_user() = OLD.creator_id
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'refused by %', TG_NAME
        USING ERRCODE = 'insufficient_privilege', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END
$$;

REVOKE EXECUTE ON FUNCTION kababeat_refuse_accounts() FROM PUBLIC;

CREATE OR REPLACE TRIGGER beats_creator_stays BEFORE UPDATE ON beats FOR EACH ROW
WHEN (OLD.creator_id <> NEW.creator_id OR OLD.id <> NEW.id)
EXECUTE FUNCTION kababeat_refuse_accounts();
CREATE OR REPLACE TRIGGER beats_featured_is_given BEFORE UPDATE ON beats FOR EACH ROW
WHEN (OLD.is_featured <> NEW.is_featured)
EXECUTE FUNCTION kababeat_refuse_accounts('admin');
CREATE OR REPLACE TRIGGER beats_status_is_the_creators BEFORE UPDATE ON beats FOR EACH ROW
WHEN (OLD.status <> NEW.status OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
EXECUTE FUNCTION kababeat_refuse_accounts('creator', 'admin');
CREATE OR REPLACE TRIGGER beats_prices_are_the_creators BEFORE UPDATE ON beats FOR EACH ROW
WHEN (
    OLD.currency <> NEW.currency OR OLD.price_basic IS DISTINCT FROM NEW.price_basic
    OR OLD.price_premium IS DISTINCT FROM NEW.price_premium OR OLD.price_exclusive IS DISTINCT FROM NEW.price_exclusive
)
EXECUTE FUNCTION kababeat_refuse_accounts('creator');

-- Staging asks who may edit the beat. As a subquery in a policy, that is planned and set up four times over in each INSERT that may become
-- an UPDATE, needed or not; a function is called where it is needed, and keeps its plans.
CREATE FUNCTION kababeat_may_edit(beat uuid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM public.beats WHERE id = beat AND creator_id = public.kababeat_user())
        OR EXISTS (
            SELECT FROM public.beat_permissions AS permission
            WHERE permission.beat_id = beat AND permission.user_id = public.kababeat_user()
                AND permission.accepted_at IS NOT NULL AND permission.permission_type IN ('owner', 'collaborator'));
END
$$;

COMMENT ON FUNCTION kababeat_may_edit(uuid) IS
    'Whether the principal of this transaction made the beat or edits it as a collaborator. For policies of what belongs to a beat.';

DROP POLICY of_own_beat ON beat_content_staged;
DROP POLICY of_shared_beat ON beat_content_staged;
CREATE POLICY of_editable_beat ON beat_content_staged
    USING ((SELECT kababeat_user()) IS NOT NULL AND kababeat_may_edit(beat_id))
    WITH CHECK ((SELECT kababeat_user()) IS NOT NULL AND kababeat_may_edit(beat_id));
