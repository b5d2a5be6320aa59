-- The condition holds always; only who reads the line in order states it, so
-- that nothing that looks up one place takes the index, see the migration of
-- the same name of documents.
drop index line_in_order;
create index line_in_order on line (tenant, step, since, document) where since > 0;
