-- The networks that open a record are read from the directory, and kept until this number changes: the projector raises
-- it with each statement about an Organization or an OrganizationAffiliation.
create table network_version (
    only_row boolean primary key default true check (only_row),
    version bigint not null
);
insert into network_version (version) values (1);
create index directory_affiliation on directory_current (shared_id) where resource_type = 'OrganizationAffiliation';
