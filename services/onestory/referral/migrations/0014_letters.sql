-- Completed referrals whose outcome letter (a DocumentReference among the outputs) is outstanding, the longest first.
create index referral_letter_of_team on referral (recipient_team, changed_at, referral_id)
    where status = 'completed' and kind <> 'advice'
        and not (outputs @? '$[*].valueReference.reference ? (@ like_regex "DocumentReference/")');
create index referral_letter_to_requester on referral (requester_organisation, changed_at, referral_id)
    where status = 'completed' and kind <> 'advice'
        and not (outputs @? '$[*].valueReference.reference ? (@ like_regex "DocumentReference/")');
