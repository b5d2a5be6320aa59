-- An index that begins as the primary key does and holds the id further on
-- looks as good to a planner without statistics, which knows nothing of an
-- owner with every row of a tenant: each question then reads all that its owner
-- has in the index. The condition holds always; only lists state it, so that
-- nothing else can take the index.
drop index conversations_last_used;
create index conversations_last_used on conversations (tenant, owner, updated_at, id) where turns > 0;
