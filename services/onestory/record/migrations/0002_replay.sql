-- A parked message can be sent again: with its headers, and known as the same message when it is read again.
alter table parked
    -- In pairs; names are bytes too, because PostgreSQL's text cannot hold every character.
    add column header_names bytea[] not null default '{}',
    add column header_values bytea[] not null default '{}',
    -- Where it stood when it was last found to be of no use: "offset", or that of a replay.
    add column latest_offset bigint,
    -- When and where to it was last sent again.
    add column replayed_at timestamptz,
    add column replayed_offset bigint;
update parked set latest_offset = "offset";
alter table parked
    alter column latest_offset set not null,
    -- It was not sent again, or was parked again after that. Comparing offsets of one partition needs no clock, and is
    -- right whether the projector or the replay writes first.
    add column waiting boolean not null
        generated always as (replayed_offset is null or replayed_offset <= latest_offset) stored;

-- What was replayed is parked to those who ask until the projector has passed the replay.
create or replace view parked_position as
    select topic, partition, "offset", reason, explanation from parked
    where reason <> 'alias-cycle'
        and (waiting or not exists (
            select from position
            where (position.topic, position.partition) = (parked.topic, parked.partition)
                and position.next_offset > parked.replayed_offset
        ));
