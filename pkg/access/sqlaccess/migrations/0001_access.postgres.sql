-- Text is ordered by its bytes, and a transaction sees the rows of its tenant
-- only: see the catalog's migration. A key is looked up before anybody knows
-- its tenant, by a transaction of all tenants.
do $$
declare
	t text;
begin
	foreach t in array array['api_keys', 'token_usage', 'token_charges'] loop
		execute (select format('alter table %I %s', t, string_agg(format('alter column %I type text collate "C"', column_name), ', '))
			from information_schema.columns
			where table_schema = current_schema() and table_name = t and data_type = 'text');
		execute format('alter table %I enable row level security, force row level security', t);
		execute format('create policy tenants on %I using ('
			'tenant = nullif(current_setting(''ragbus.tenant'', true), '''')'
			' or current_setting(''ragbus.all_tenants'', true) = ''true'')', t);
	end loop;
end $$;
