DO $$
DECLARE
	version int := current_setting('server_version_num')::int / 10000;
	r text;
BEGIN
	-- The roles that AWS has. They cannot log in.
	FOREACH r IN ARRAY ARRAY['rds_superuser', 'rds_replication', 'rds_password', 'rds_iam'] LOOP
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
			EXECUTE format('CREATE ROLE %I NOLOGIN', r);
		END IF;
	END LOOP;
	FOREACH r IN ARRAY ARRAY['pg_monitor', 'pg_signal_backend', 'rds_replication', 'rds_password',
			'pg_checkpoint', 'pg_use_reserved_connections', 'pg_create_subscription', 'pg_maintain'] LOOP
		IF EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
			EXECUTE format('GRANT %I TO rds_superuser WITH ADMIN OPTION', r);
		END IF;
	END LOOP;
	IF version >= 15 THEN
		EXECUTE 'GRANT SET ON PARAMETER session_replication_role, log_statement, log_min_duration_statement TO rds_superuser';
	END IF;
	-- Before version 16, CREATEROLE may grant every role but superusers': these
	-- three would give a customer the engine user's files and programs. As
	-- superusers that nobody is a member of, they can be granted by none.
	IF version < 16 THEN
		UPDATE pg_authid SET rolsuper = true
		WHERE rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files') AND NOT rolsuper;
	END IF;
END $$;
