-- An index that begins as the primary key does and holds the id further on
-- looks as good to a planner without statistics, which knows nothing of a
-- tenant with every row: looking up one document then reads all that its
-- tenant has in the index. The condition holds always; only lists state it, so
-- that nothing else can take the indexes.
drop index documents_newest;
drop index documents_newest_of_collection;
drop index documents_newest_of_status;
create index documents_newest on documents (tenant, created_at, id) where created_at > 0;
create index documents_newest_of_collection on documents (tenant, collection, created_at, id) where created_at > 0;
create index documents_newest_of_status on documents (tenant, status, created_at, id) where created_at > 0;
