do $$
begin
	execute (select format('alter table upload_keys %s', string_agg(format('alter column %I type text collate "C"', column_name), ', '))
		from information_schema.columns
		where table_schema = current_schema() and table_name = 'upload_keys' and data_type = 'text');
	alter table upload_keys enable row level security;
	alter table upload_keys force row level security;
	create policy tenants on upload_keys using (
		tenant = nullif(current_setting('ragbus.tenant', true), '')
		or current_setting('ragbus.all_tenants', true) = 'true');
end $$;
