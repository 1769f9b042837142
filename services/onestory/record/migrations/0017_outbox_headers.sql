-- Headers of a message by name, in the order in which they are sent. A message without a value is a tombstone.
alter table outbox add column headers json not null default '{}', alter column value drop not null;
