-- What Postgres needs beside the tables.
--
-- Text is ordered by its bytes, as SQLite orders it, whatever order the
-- database was created with: pages of a list are continued by comparing ids.
--
-- Row-level security is the second wall between tenants: a transaction sees
-- the rows of the tenant that it was bound to, all rows when it was bound to
-- all tenants, and else none. It binds the owner of the tables too, though
-- no superuser.
do $$
declare
	t text;
begin
	foreach t in array array['conversations', 'turns'] loop
		execute (select format('alter table %I %s', t, string_agg(format('alter column %I type text collate "C"', column_name), ', '))
			from information_schema.columns
			where table_schema = current_schema() and table_name = t and data_type = 'text');
		execute format('alter table %I enable row level security, force row level security', t);
		execute format('create policy tenants on %I using ('
			'tenant = nullif(current_setting(''ragbus.tenant'', true), '''')'
			' or current_setting(''ragbus.all_tenants'', true) = ''true'')', t);
	end loop;
end $$;

-- One owner may have every row of a tenant. A planner without statistics does
-- not know, and takes an index that begins with both for as good as the
-- primary key. Turns are looked up for every question: the index of a
-- conversation's turns begins with what nobody looks up a single turn by.
drop index turns_in_order;
create unique index turns_in_order on turns (conversation, tenant, owner, seq);
