-- The resources that a message stated under ids that it got here: [type, local id, shared id]. If the message was a mistake,
-- they are retracted, so that they do not stay on the record of the wrong person.
alter table bars_message add column stated jsonb not null default '[]';
