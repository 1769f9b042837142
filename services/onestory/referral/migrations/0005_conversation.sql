-- While a question waits: the message that asks it, and until when the state of the Task itself gives time.
alter table referral
    add column question_id text not null default '',
    add column state_due_at timestamptz;

-- A conversation is read in the order in which it was held.
create index on resource (person_key, referral_id, changed_at, event_id) where resource_type = 'Communication';
