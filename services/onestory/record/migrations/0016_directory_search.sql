-- The directory is searched by identifier. Other searches read the content of all resources of a type.
-- A content that is no JSON has no identifiers: it must not stop the projector.
create function directory_identifiers(content bytea) returns text[] language plpgsql immutable parallel safe as $$
begin
    return array(select jsonb_path_query(convert_from(content, 'UTF8')::jsonb, '$.identifier[*].value') #>> '{}');
exception when others then
    return '{}';
end
$$;

create index on directory_statement using gin (directory_identifiers(content)) where content is not null;
create index on directory_current (resource_type, shared_id) where operation = 'assert';
