-- The directory is searched by identifier. Other searches read the content of all resources of a type.
-- A content that is no JSON has no identifiers, and a value above 512 bytes is not indexed: an index refuses a key
-- above 2.7 kB, and neither may stop the projector. record/search/directory.py has the same limit.
create function directory_identifiers(content bytea) returns text[] language plpgsql immutable parallel safe as $$
begin
    return array(
        select value from (
            select jsonb_path_query(convert_from(content, 'UTF8')::jsonb, '$.identifier[*].value') #>> '{}' as value
        ) as stated
        where octet_length(value) <= 512
    );
exception when others then
    return '{}';
end
$$;

create index on directory_statement using gin (directory_identifiers(content)) where content is not null;
create index on directory_current (resource_type, shared_id) where operation = 'assert';
