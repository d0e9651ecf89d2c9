-- What an entry of the audit log accounts for commits together with it, whoever acts in that transaction: filing is the system's work.

CREATE FUNCTION kababeat_file_audit(
    ids uuid[], actors text[], actions text[], categories text[], severities text[], addresses text[], agents text[], target_kinds text[],
    targets text[], metadata jsonb[], requests text[]
) RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_catalog, pg_temp
AS $$
-- A SET clause would be shorter, but PostgreSQL lets only superusers give a function a setting that it does not know.
DECLARE
    caller text := current_setting('kababeat.role', true);
BEGIN
    PERFORM set_config('kababeat.role', 'system', true);
    INSERT INTO audit_log (id, actor_id, action, category, severity, address, agent, target_kind, target_id, metadata, request_id)
    SELECT record.id, record.actor::uuid, record.action, record.category, record.severity, record.address, record.agent,
        record.target_kind, record.target::uuid, record.metadata, record.request
    FROM unnest(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
    ) AS record (id, actor, action, category, severity, address, agent, target_kind, target, metadata, request);
    PERFORM set_config('kababeat.role', coalesce(caller, ''), true);
END
$$;

COMMENT ON FUNCTION kababeat_file_audit IS 'Adds entries to the audit log, as the system, within the transaction of whoever calls.';

REVOKE EXECUTE ON FUNCTION kababeat_file_audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kababeat_file_audit TO kababeat_gateway;
