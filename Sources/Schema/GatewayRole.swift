import PostgresClient

/// The role the gateway logs in as. What it may do is granted to `kababeat_gateway` in `sql/`; one of another name is made a member of
/// that, so that several gateways with their own databases can share a server.
struct GatewayRole: Sendable {
    let name: String
    let password: String

    /// Makes the role if it is absent and sets its password and its limits. Answers whether it was absent.
    /// - Throws: `SchemaError.role` where the role could get round row security, or cannot be made.
    nonisolated(nonsending) func prepare(_ session: MigrationSession, dryRun: Bool) async throws -> Bool {
        let statement = PostgresStatement(
            "SELECT rolsuper OR rolbypassrls OR pg_has_role(oid, current_user, 'MEMBER') FROM pg_roles WHERE rolname = $1"
        ) { (row: borrowing PostgresRow) throws(PostgresError) in try row.bool(0) }
        let isTooStrong = try await session.query(statement, [.text(name)]).first
        if isTooStrong == true {
            throw SchemaError.role(name, reason: "it is a superuser, bypasses row security, or owns the tables. Name another role")
        }
        if password.isEmpty, isTooStrong == nil {
            throw SchemaError.role(name, reason: "it does not exist, and there is no password to make it with. Set the gateway's password")
        }
        if dryRun { return isTooStrong == nil }
        let settings = PostgresStatement<Void>(
            "SELECT set_config('kababeat.login', $1, false), set_config('kababeat.password', $2, false)")
        _ = try await session.query(settings, [.text(name), .text(password)])
        do {
            try await session.execute(script: Self.script)
        } catch  where error.sqlState == "42501" {
            throw SchemaError.role(name, reason: "this login may not make or change it. Give it CREATEROLE, or make the role by hand")
        }
        return isTooStrong == nil
    }

    /// Roles belong to the whole server, so another database's migration may change one at the same moment: that is tried again.
    private static let script = """
        DO $$
        DECLARE
            login text := current_setting('kababeat.login');
            password text := current_setting('kababeat.password');
            attempts integer := 0;
        BEGIN
            LOOP
                BEGIN
                    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'kababeat_gateway') THEN
                        CREATE ROLE kababeat_gateway;
                    END IF;
                    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = login) THEN
                        EXECUTE format('CREATE ROLE %I', login);
                    END IF;
                    IF NOT pg_catalog.pg_has_role(login, 'kababeat_gateway', 'USAGE') THEN
                        EXECUTE format('GRANT kababeat_gateway TO %I', login);
                    END IF;
                    IF password <> '' THEN
                        EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', login, password);
                        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''30s''', login);
                        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''10s''', login);
                        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''30s''', login);
                    END IF;
                    EXIT;
                EXCEPTION WHEN internal_error OR duplicate_object OR unique_violation THEN
                    attempts := attempts + 1;
                    IF attempts = 100 THEN
                        RAISE;
                    END IF;
                    PERFORM pg_catalog.pg_sleep(0.02);
                END;
            END LOOP;
        END
        $$
        """
}
