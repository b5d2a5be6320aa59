do $$
begin
	execute (select format('alter table line %s', string_agg(format('alter column %I type text collate "C"', column_name), ', '))
		from information_schema.columns
		where table_schema = current_schema() and table_name = 'line' and data_type = 'text');
	alter table line enable row level security;
	alter table line force row level security;
	create policy tenants on line using (
		tenant = nullif(current_setting('ragbus.tenant', true), '')
		or current_setting('ragbus.all_tenants', true) = 'true');
end $$;
