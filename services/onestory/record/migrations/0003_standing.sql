-- Published to intake: which statement stands for a resource, so that a publisher who waits is told when it is another
-- one. Ask with person_key and resource_type (the view's index) as well as shared_id.
create view standing_statement as
    select person_key, resource_type, shared_id, event_id from current;
