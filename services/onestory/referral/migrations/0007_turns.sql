-- Of what a team is asked that is on its list for no other reason: it passed the referral on, and has a question to answer.
create index referral_by_turn on referral (next_team, urgency, due_at, referral_id)
    where is_open and next_team <> '' and next_team <> recipient_team and next_team <> holder_team;
