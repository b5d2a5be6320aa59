do $$
declare
	t text;
begin
	foreach t in array array['sweep_state', 'attribute_changes', 'suspects'] loop
		execute (select format('alter table %I %s', t, string_agg(format('alter column %I type text collate "C"', column_name), ', '))
			from information_schema.columns
			where table_schema = current_schema() and table_name = t and data_type = 'text');
	end loop;
	foreach t in array array['attribute_changes', 'suspects'] loop
		execute format('alter table %I enable row level security, force row level security', t);
		execute format('create policy tenants on %I using ('
			'tenant = nullif(current_setting(''ragbus.tenant'', true), '''')'
			' or current_setting(''ragbus.all_tenants'', true) = ''true'')', t);
	end loop;
end $$;
