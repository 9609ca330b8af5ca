"""The security list of this product: lines of OWASP ASVS 5.0 (levels 1 and 2), each with the tests that hold it.

A line of which a part comes with a later product says so; `test_asvs.py` checks that every named test exists.
"""

import msgspec


class Line(msgspec.Struct, frozen=True):
    """One line of the list: its number, the standard's ids, what we promise, what shows it, what comes later."""

    number: int
    ids: tuple[str, ...]
    promise: str
    tests: tuple[str, ...] = ()
    later: str = ""


GUARD = "tests/api/test_guard.py::"
COMING_IN = "tests/api/test_coming_in.py::"
SESSIONS = "tests/api/test_sessions.py::"
PROFILE = "tests/api/test_profile.py::"
PEOPLE = "tests/api/test_people.py::"
BOTS = "tests/api/test_bots.py::"
ACCOUNTS = "tests/api/test_accounts.py::"
RULES = "tests/unit/access/test_rules.py::"
LOGS = "tests/security/test_logs.py::"
HEADERS = "tests/security/test_headers.py::"
MATRIX = "tests/security/test_authorisation.py::"
FUZZING = "tests/security/test_fuzzing.py::"
ENVELOPE = "tests/adapters/secrets/test_envelope.py::"
AUDIT = "tests/storage/test_audit.py::"

LINES = (
    Line(
        1,
        ("2.2.1", "2.2.2"),
        "What comes in is checked on the server against what is allowed",
        (
            BOTS + "test_a_value_of_the_wrong_form_is_pointed_at",
            COMING_IN + "test_what_is_no_address_is_refused_at_its_place",
            FUZZING + "test_nothing_that_a_user_can_send_makes_an_error_of_ours",
        ),
    ),
    Line(
        2,
        ("2.3.1",),
        "Steps come in their order",
        (
            COMING_IN + "test_without_the_link_there_is_no_account",
            PROFILE + "test_one_time_codes_are_asked_for_and_good_for_once",
        ),
        "approval before a payout comes with payouts",
    ),
    Line(3, ("2.3.2",), "Limits of the trade are enforced", (BOTS + "test_more_than_the_balance_is_refused",)),
    Line(
        4,
        ("2.3.3",),
        "A command happens as a whole, with its record, or not at all",
        (AUDIT + "test_an_entry_vanishes_with_the_change_it_records",),
    ),
    Line(
        5,
        ("2.3.4",),
        "Two who come at once do not both get what is there once",
        (
            COMING_IN + "test_two_who_open_one_link_at_once_make_one_account",
            BOTS + "test_the_same_command_said_twice_at_once_makes_one_bot",
        ),
        "double spending and double approval come with payouts",
    ),
    Line(
        6,
        ("2.4.1",),
        "Machines are slowed down",
        (
            GUARD + "test_who_asks_too_often_hears_when_to_come_again",
            GUARD + "test_an_address_in_the_mail_and_an_account_have_rates_of_their_own",
        ),
    ),
    Line(
        7,
        ("3.2.1",),
        "An answer of the API is never taken for a page",
        (GUARD + "test_every_answer_says_that_it_is_data_and_no_page",),
    ),
    Line(
        8,
        ("3.3.1", "3.3.3"),
        "Cookies are Secure and bound to the host",
        (SESSIONS + "test_over_tls_cookies_are_bound_to_the_host_and_never_sent_in_the_clear",),
    ),
    Line(
        9,
        ("3.3.2",),
        "Cookies are not sent from other sites",
        (SESSIONS + "test_cookies_are_out_of_reach_of_scripts_and_other_sites",),
    ),
    Line(
        10,
        ("3.3.4",),
        "Tokens are out of reach of scripts",
        (
            SESSIONS + "test_cookies_are_out_of_reach_of_scripts_and_other_sites",
            SESSIONS + "test_tokens_are_in_cookies_and_nowhere_else",
        ),
    ),
    Line(
        11,
        ("3.4.1",),
        "Browsers insist on TLS where we have it",
        (HEADERS + "test_over_tls_browsers_are_told_to_insist_on_it_on_every_answer",),
    ),
    Line(12, ("3.4.2",), "No other site may read", (GUARD + "test_other_sites_are_not_invited",)),
    Line(
        13,
        ("3.4.3",),
        "Pages run nothing but our own scripts",
        (HEADERS + "test_pages_come_under_a_policy_without_exceptions",),
    ),
    Line(14, ("3.4.4",), "Types are not guessed", (GUARD + "test_nothing_is_cached_or_sniffed",)),
    Line(
        15,
        ("3.4.5",),
        "Addresses are not told to other sites",
        (
            GUARD + "test_every_answer_says_that_it_is_data_and_no_page",
            HEADERS + "test_pages_come_under_a_policy_without_exceptions",
        ),
    ),
    Line(
        16,
        ("3.4.6",),
        "Nobody frames us",
        (
            GUARD + "test_every_answer_says_that_it_is_data_and_no_page",
            HEADERS + "test_pages_come_under_a_policy_without_exceptions",
        ),
    ),
    Line(
        17,
        ("3.5.1", "3.5.2"),
        "Another site's page cannot make us act",
        (
            GUARD + "test_what_a_page_of_another_site_sends_is_refused",
            GUARD + "test_a_command_with_cookies_must_bring_the_word_of_its_session",
            GUARD + "test_a_page_of_another_site_is_refused",
            GUARD + "test_a_foreign_host_name_is_refused_against_dns_rebinding",
        ),
    ),
    Line(
        18,
        ("3.5.3",),
        "Reading changes nothing",
        (
            GUARD + "test_reading_changes_nothing_so_no_command_is_a_get",
            HEADERS + "test_routes_that_read_and_routes_that_change_are_told_apart_by_method",
        ),
    ),
    Line(19, ("3.5.5",), "Messages between windows", later="comes with the Telegram and TON pages; we use none"),
    Line(
        20,
        ("4.1.1",),
        "Every answer says what it is, and in which letters",
        (HEADERS + "test_every_kind_of_answer_names_its_type",),
    ),
    Line(
        21,
        ("4.4.1", "4.4.2"),
        "The live stream is opened by our own pages only",
        (HEADERS + "test_the_live_stream_is_for_our_own_pages",),
        "no WebSocket of ours: the stream is plain HTTP (SSE) behind the same guard",
    ),
    Line(
        22,
        ("4.4.3", "4.4.4"),
        "The live stream lives and ends with the session",
        (
            SESSIONS + "test_a_stream_ends_with_its_session",
            SESSIONS + "test_a_stream_shows_ones_own_bots_only",
        ),
    ),
    Line(
        23,
        ("6.2.1", "6.2.9"),
        "Passwords may be long and must not be short",
        (
            RULES + "test_a_password_must_be_long_and_hard_to_guess_and_nothing_else",
            COMING_IN + "test_spaces_letters_of_any_script_and_long_phrases_are_welcome",
        ),
    ),
    Line(
        24,
        ("6.2.4", "6.2.12"),
        "Common and personal passwords are refused",
        (
            COMING_IN + "test_a_password_that_is_easily_guessed_is_refused_at_its_place",
            COMING_IN + "test_a_password_made_of_ones_own_address_is_refused",
        ),
        "the lists are those of zxcvbn (30,000 common passwords); no list of breached ones is shipped",
    ),
    Line(
        25,
        ("6.2.10",),
        "Nobody is made to change a password, or to mix characters",
        (RULES + "test_a_password_must_be_long_and_hard_to_guess_and_nothing_else",),
    ),
    Line(
        26,
        ("6.3.1",),
        "Guessing takes longer each time, and locks nobody out",
        (
            COMING_IN + "test_wrong_guesses_make_the_guesser_wait_and_nobody_else",
            RULES + "test_a_guesser_waits_twice_as_long_each_time_up_to_a_bound",
            GUARD + "test_a_stranger_cannot_choose_the_address_that_is_counted",
        ),
    ),
    Line(
        27,
        ("6.3.3",),
        "A second factor can be switched on",
        (PROFILE + "test_one_time_codes_are_asked_for_and_good_for_once",),
        "it is the owner's choice here; payouts will ask for it",
    ),
    Line(
        28,
        ("6.3.4",),
        "Every way in is as strong as the others",
        (
            COMING_IN + "test_a_reset_asks_for_the_one_time_code_as_before",
            PROFILE + "test_a_new_password_needs_a_code_where_codes_are_on",
            PROFILE + "test_a_new_address_counts_once_its_link_was_opened_by_its_owner",
        ),
        "Telegram and wallets come with their own issues",
    ),
    Line(
        29,
        ("6.4.1",),
        "First tokens run out and open once",
        (
            COMING_IN + "test_the_word_on_the_terminal_makes_the_first_operator_once",
            COMING_IN + "test_a_link_that_is_too_old_opens_nothing",
            COMING_IN + "test_a_link_opens_once_and_only_for_its_purpose",
        ),
    ),
    Line(
        30,
        ("6.4.3",),
        "A new password leaves the second factor as it was",
        (COMING_IN + "test_a_reset_asks_for_the_one_time_code_as_before",),
    ),
    Line(
        31,
        ("6.5.1",),
        "Codes are good for once",
        (
            PROFILE + "test_one_time_codes_are_asked_for_and_good_for_once",
            PROFILE + "test_a_recovery_code_opens_once",
        ),
    ),
    Line(
        32,
        ("6.5.5",),
        "A key that travels by mail lives ten minutes",
        (RULES + "test_every_purpose_has_a_life_and_a_key_to_an_account_lives_ten_minutes_at_most",),
    ),
    Line(
        33,
        ("7.2.3",),
        "Tokens are random and long",
        (COMING_IN + "test_signing_in_makes_tokens_that_nobody_has_seen",),
    ),
    Line(
        34,
        ("7.2.4",),
        "Signing in makes new tokens",
        (COMING_IN + "test_signing_in_makes_tokens_that_nobody_has_seen",),
    ),
    Line(
        35,
        ("7.3.1", "7.3.2"),
        "Sessions end when idle, and in any case",
        (
            SESSIONS + "test_a_session_ends_by_itself_when_idle_and_after_a_month",
            RULES + "test_no_token_outlives_its_session",
        ),
    ),
    Line(
        36,
        ("7.4.1",),
        "Signing out ends the session on the server",
        (COMING_IN + "test_signing_out_ends_the_session_on_the_server_and_clears_the_browser",),
    ),
    Line(
        37,
        ("7.4.2", "7.4.3", "7.4.5"),
        "Sessions end when a person is disabled or a factor changes",
        (
            SESSIONS + "test_a_person_who_is_disabled_is_out_at_once_and_cannot_come_back",
            PROFILE + "test_a_new_password_needs_the_old_one_and_ends_every_other_session",
            COMING_IN + "test_a_forgotten_password_is_set_anew_and_every_session_ends",
        ),
    ),
    Line(
        38,
        ("7.5.1",),
        "What a thief of a session would want asks for the password again",
        (
            PROFILE + "test_a_new_address_counts_once_its_link_was_opened_by_its_owner",
            PROFILE + "test_codes_are_switched_off_with_password_and_code",
            PROFILE + "test_a_new_password_needs_the_old_one_and_ends_every_other_session",
            ACCOUNTS + "test_a_session_alone_connects_no_key",
        ),
        "payout addresses come with payouts",
    ),
    Line(
        39,
        ("7.5.2",),
        "One sees one's sessions and ends them",
        (SESSIONS + "test_one_sees_ones_browsers_and_ends_any_of_them",),
    ),
    Line(
        40,
        ("8.2.1", "8.2.2", "8.2.3"),
        "Every route, thing and field is for whom it is meant",
        (
            MATRIX + "test_every_route_has_a_row_and_every_row_a_route",
            MATRIX + "test_a_route_answers_each_role_as_its_row_says",
            MATRIX + "test_what_belongs_to_somebody_else_is_answered_like_what_nobody_has",
            MATRIX + "test_lists_show_ones_own_and_an_operator_everybodys",
            PROFILE + "test_a_profile_changes_in_what_is_given_and_stays_in_the_rest",
        ),
    ),
    Line(41, ("9.1.1", "9.2.3"), "Self-contained tokens", later="there are none: ours are random and looked up"),
    Line(
        42,
        ("11.3.1", "11.3.2", "11.3.3"),
        "What is sealed is sealed with authentication, for one place",
        (
            ENVELOPE + "test_an_altered_byte_anywhere_is_noticed",
            ENVELOPE + "test_a_value_moved_to_another_row_owner_or_field_does_not_open",
            PROFILE + "test_a_seed_is_sealed_where_it_lies",
        ),
    ),
    Line(
        43,
        ("11.4.2",),
        "Passwords are stored as argon2id",
        (HEADERS + "test_passwords_are_stored_as_argon2id_at_owasps_cost_or_above",),
    ),
    Line(
        44,
        ("11.5.1",),
        "Random words come from the system's generator",
        (HEADERS + "test_random_words_come_from_the_systems_generator",),
    ),
    Line(
        45,
        ("13.3.1", "13.3.2"),
        "Secrets lie where only their owner reads them",
        (
            ENVELOPE + "test_the_file_is_its_owners_alone_and_made_once",
            LOGS + "test_no_secret_reaches_the_database_in_the_clear",
            ACCOUNTS + "test_a_secret_is_in_no_answer_no_log_and_no_row",
        ),
    ),
    Line(
        46,
        ("13.4.2", "13.4.4", "13.4.5"),
        "No debugging, no TRACE, no figures for strangers",
        (
            GUARD + "test_reading_changes_nothing_so_no_command_is_a_get",
            GUARD + "test_figures_are_for_the_holder_of_the_token_only",
            HEADERS + "test_an_error_that_nobody_foresaw_tells_nothing",
        ),
    ),
    Line(
        47,
        ("14.2.1",),
        "Nothing secret in addresses of the API",
        (
            HEADERS + "test_no_route_takes_a_secret_in_its_address",
            LOGS + "test_no_secret_reaches_the_log_whatever_one_does",
        ),
        "links in letters carry a one-time token; the page takes it out of the address at once",
    ),
    Line(
        48,
        ("14.3.1", "14.3.2", "14.3.3"),
        "Nothing of a person stays in the browser",
        (
            COMING_IN + "test_signing_out_ends_the_session_on_the_server_and_clears_the_browser",
            GUARD + "test_nothing_is_cached_or_sniffed",
        ),
    ),
    Line(
        49,
        ("16.2.1", "16.2.2", "16.2.5"),
        "The log says who, what and when (UTC), and no secret",
        (
            LOGS + "test_no_secret_reaches_the_log_whatever_one_does",
            LOGS + "test_times_in_the_log_are_utc",
            LOGS + "test_what_looks_like_a_secret_is_masked",
        ),
    ),
    Line(
        50,
        ("16.3.1", "16.3.2", "16.3.3", "16.3.4"),
        "Signing in, refusals and attempts to get around us are recorded",
        (
            LOGS + "test_refusals_are_logged_with_who_and_what",
            PEOPLE + "test_operators_see_people_letters_and_the_record",
            SESSIONS + "test_a_renewal_token_that_comes_again_later_ends_the_session_for_both",
        ),
    ),
    Line(
        51,
        ("16.4.1", "16.4.2"),
        "Nobody forges a line of the log or changes the record",
        (
            LOGS + "test_nothing_from_outside_begins_a_line_of_its_own",
            AUDIT + "test_the_database_refuses_to_change_the_record",
            AUDIT + "test_tampering_is_found_where_it_begins",
        ),
    ),
    Line(
        52,
        ("16.5.1", "16.5.2", "16.5.3"),
        "Errors tell nothing and open nothing",
        (
            HEADERS + "test_an_error_that_nobody_foresaw_tells_nothing",
            FUZZING + "test_nothing_that_an_operator_can_send_makes_an_error_of_ours",
            "tests/api/test_z_outage.py::"
            "test_without_the_database_the_api_asks_to_try_again_and_the_emergency_stop_works",
        ),
    ),
)
