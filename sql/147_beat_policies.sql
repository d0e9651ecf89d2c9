-- What row security costs every write of a beat. Each policy adds its subqueries to each statement, and those of beat_permissions' own
-- policies with them; all are set up anew at each execution, needed or not. Here they say the same in fewer: whoever made a beat, or may
-- see it because everybody may, is told apart by columns, and only for others is asked who shares it.

-- Whether somebody shares the beat with the principal of this transaction as one of these types, and that was accepted. Sees what the
-- principal may see of permissions, which are those given to it.
CREATE FUNCTION kababeat_shares(beat uuid, types text[]) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    principal CONSTANT uuid := public.kababeat_user();
BEGIN
    RETURN principal IS NOT NULL AND EXISTS (
        SELECT FROM public.beat_permissions AS permission
        WHERE permission.beat_id = beat AND permission.user_id = principal
            AND permission.accepted_at IS NOT NULL AND permission.permission_type = ANY (types));
END
$$;

COMMENT ON FUNCTION kababeat_shares(uuid, text[]) IS
    'Whether the beat is shared with the principal of this transaction, as one of these types of permission. For policies of beats.';

DROP POLICY published_is_public ON beats;
DROP POLICY own_is_readable ON beats;
DROP POLICY shared_is_readable ON beats;
DROP POLICY admin_reads ON beats;
-- In the order in which it is cheapest to ask.
CREATE POLICY readable ON beats FOR SELECT
    USING (
        creator_id = (SELECT kababeat_user())
        OR status = 'published' AND (SELECT kababeat_role()) <> 'authenticator'
        OR (SELECT kababeat_role()) = 'admin'
        OR deleted_at IS NULL AND kababeat_shares(id, '{viewer,collaborator,owner}')
    );

DROP POLICY own_is_editable ON beats;
DROP POLICY shared_is_editable ON beats;
CREATE POLICY editable ON beats FOR UPDATE
    USING (
        creator_id = (SELECT kababeat_user())
        OR deleted_at IS NULL AND kababeat_shares(id, '{collaborator,owner}')
    )
    WITH CHECK (
        creator_id = (SELECT kababeat_user())
        OR deleted_at IS NULL AND kababeat_shares(id, '{collaborator,owner}')
    );

CREATE OR REPLACE FUNCTION kababeat_may_edit(beat uuid) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    principal CONSTANT uuid := public.kababeat_user();
BEGIN
    IF principal IS NULL THEN
        RETURN false;
    END IF;
    PERFORM FROM public.beats WHERE id = beat AND creator_id = principal;
    RETURN FOUND OR public.kababeat_shares(beat, '{collaborator,owner}');
END
$$;

-- The function knows itself whether anybody is asking.
ALTER POLICY of_editable_beat ON beat_content_staged
    USING (kababeat_may_edit(beat_id)) WITH CHECK (kababeat_may_edit(beat_id));
