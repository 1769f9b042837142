-- What sources call a person in their own numbering, so that a person without an NHS number can be found. In force while
-- the Patient statement that has it stands and is visible.
create table patient_identifier (
    system text collate "C" not null,
    value text collate "C" not null,
    person_key text collate "C" not null,
    shared_id text collate "C" not null,
    event_id uuid not null,
    organisation text not null,
    primary key (person_key, shared_id, event_id, system, value)
);
create index on patient_identifier (system, value);
insert into patient_identifier (system, value, person_key, shared_id, event_id, organisation)
select identifier ->> 'system', identifier ->> 'value', person_key, shared_id, event_id, organisation
from statement
cross join lateral json_array_elements(convert_from(content, 'UTF8')::json -> 'identifier') identifier
where resource_type = 'Patient' and position('\\u0000'::bytea in content) = 0
    and octet_length(identifier ->> 'system') between 1 and 512 and octet_length(identifier ->> 'value') between 1 and 512
    and identifier ->> 'system' !~* '^https?://fhir\.nhs\.(uk|net)/id/nhs-number$'
on conflict do nothing;
