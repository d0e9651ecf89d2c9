-- An open offer is its holder's to decline. What was accepted is agreed: only its creator replaces it, with all the shares of the beat and
-- not while that is published.
ALTER POLICY concerned_may_remove ON beat_splits
    USING (offered_by = (SELECT kababeat_user()) OR (user_id = (SELECT kababeat_user()) AND accepted_at IS NULL));

-- Own shares, the newest first.
CREATE INDEX beat_splits_of_user_by_time ON beat_splits (user_id, created_at DESC, beat_id DESC);

-- An account that is deleted is seen by nobody else, and still a beat must not be published while it holds a share. Whoever is looked for
-- is locked against being deleted until the transaction ends. As the caller finds the shares, so that nobody learns of others'.
CREATE FUNCTION kababeat_deleted_holders(beat uuid) RETURNS uuid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    caller text := current_setting('kababeat.role', true);
    holders uuid[] := ARRAY(SELECT split.user_id FROM public.beat_splits AS split WHERE split.beat_id = beat);
    deleted uuid[];
BEGIN
    PERFORM set_config('kababeat.role', 'system', true);
    PERFORM FROM public.users WHERE users.id = ANY (holders) ORDER BY users.id FOR SHARE;
    deleted := ARRAY(SELECT users.id FROM public.users WHERE users.id = ANY (holders) AND users.status = 'deleted' ORDER BY users.id);
    PERFORM set_config('kababeat.role', coalesce(caller, ''), true);
    RETURN deleted;
END
$$;

COMMENT ON FUNCTION kababeat_deleted_holders(uuid) IS
    'Those who hold shares of a beat, as far as the principal of this transaction sees them, and whose accounts are deleted.';

REVOKE EXECUTE ON FUNCTION kababeat_deleted_holders(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kababeat_deleted_holders(uuid) TO kababeat_gateway;
