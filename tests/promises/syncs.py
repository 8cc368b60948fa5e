"""The syncs of the store that the simulation does not miss, each with the test that does.

The others are left out one at a time in tests/faults/test_teeth.py. In the simulation these are made sure of a second
time before anybody acts (it says how), or no run comes by them. Nobody relies on that: each has a place of its own.
"""

from __future__ import annotations

_TOGETHER = "store/test_together.py::test_killed_at_any_call_all_are_there_after_recovery_or_none"
_MADE = "store/test_layout.py::test_made_is_made_for_good"
_POWER = "store/test_power.py::test_"
_LINES = "store/test_lines.py::test_"
_SHELF = "store/test_shelf.py::test_"

# The function that asks for a sync -> the test that fails when that is left out.
MISSED_BY = {
    "archive._make": "faults/test_archive.py::test_power_lost_at_each_call",
    "archive._unlink": "faults/test_archive.py::test_power_lost_at_each_call",
    "archive.put_away": "faults/test_archive.py::test_power_lost_at_each_call",
    "auditlog.AuditLog.append": "store/test_auditlog.py::test_a_line_is_on_disk_when_it_is_acknowledged",
    "auditlog.AuditLog.append/2": "store/test_auditlog.py::test_a_line_is_on_disk_when_it_is_acknowledged",
    "bundle.new_file": _POWER + "a_bundle_is_whole_and_has_its_name",
    "bundle.new_file/2": _POWER + "a_bundle_is_whole_and_has_its_name",
    "creation.Together.commit": _TOGETHER,
    "creation.Together.commit/2": _TOGETHER,
    "creation.Together.commit/3": _TOGETHER,
    "creation._conflict":
        "store/test_creation.py::test_what_a_killed_writer_left_in_it_is_on_disk_before_it_is_called_in_use",
    "creation._recover_batch": "store/test_creation.py::test_what_recovery_gives_a_row_is_on_disk_first",
    "creation.sync_if_new":
        "store/test_creation.py::test_a_run_reached_by_mail_before_its_maker_synced_is_synced_first",
    "held.hold": _POWER + "that_everything_is_held_and_that_it_goes_on_is_there",
    "held.hold/2": _POWER + "that_everything_is_held_and_that_it_goes_on_is_there",
    "held.let_go": _POWER + "that_everything_is_held_and_that_it_goes_on_is_there",
    "history.History._make_name_durable":
        "store/test_history.py::test_the_name_of_a_new_history_is_made_durable_before_it_is_believed",
    "reading.believe_history":
        "store/test_history.py::test_a_reader_whose_answer_others_act_upon_makes_it_durable_first",
    "reading.believe_history/2":
        "store/test_history.py::test_a_reader_whose_answer_others_act_upon_makes_it_durable_first",
    "layout._furnish": _MADE,
    "layout._make_home": _MADE,
    "layout.adopt_home": _POWER + "a_directory_that_was_adopted_names_its_machine",
    "layout.adopt_home/2": _POWER + "a_directory_that_was_adopted_names_its_machine",
    "layout.adopt_home/3": _MADE,
    "hooks.Notes._make_directory": "store/test_hooks.py::test_a_note_is_there_for_good_when_it_is_made",
    "hooks.Notes.make": "store/test_hooks.py::test_a_note_is_there_for_good_when_it_is_made",
    "lines.Lines.begin": _LINES + "a_ticket_is_there_for_good_when_it_is_put",
    "lines.Lines._make": _LINES + "a_ticket_is_there_for_good_when_it_is_put",
    "lines.Lines.complete": _LINES + "that_all_tickets_are_there_is_said_for_good",
    "lines.Line._sync": _LINES + "a_ticket_is_there_for_good_when_it_is_put",
    "shelf.Shelf.drop": _SHELF + "set_is_set_and_unset_is_unset_for_good",
    "shelf.Shelf.put": _SHELF + "set_is_set_and_unset_is_unset_for_good",
    "shelf.Shelf.put/2": _SHELF + "set_is_set_and_unset_is_unset_for_good",
    "shelf.Shelf.put/3": _SHELF + "set_is_set_and_unset_is_unset_for_good",
    "slots.Starts.add": _LINES + "a_start_counts_after_a_power_cut",
    "slots._opened": _LINES + "a_start_counts_after_a_power_cut",
    "slots._opened/2": _LINES + "a_start_counts_after_a_power_cut",
    "slots.Slots.override": _LINES + "what_an_operator_has_set_lasts",
    "slots.Slots.override/2": _LINES + "what_an_operator_has_set_lasts",
    "longer.Longer.commit": "engine/test_coming_back.py::test_what_was_told_outlives_a_power_cut",
    "mailbox.Mailbox._sync": "store/test_mailbox.py::test_late_mail_survives_any_power_cut",
    "mend.Mend._write": "store/test_mend.py::test_mending_survives_a_power_cut_after_any_call",
    "mend.Mend._write/2": _POWER + "the_copy_of_a_torn_tail_is_whole_also_behind_one_who_was_killed",
    "mend.Mend.keep": "store/test_mend.py::test_mending_survives_a_power_cut_after_any_call",
    "rebuild._fill": "store/test_index.py::test_names_are_synced_before_they_are_believed",
    "sharing.write_marker": _POWER + "a_marker_that_has_its_name_says_that_the_directory_is_shared",
    "tokens.Tokens._made":
        "engine/test_callbacks.py::test_the_key_has_its_name_for_good_before_a_token_is_made_of_it",
    "tokens.Tokens._made/2":
        "engine/test_callbacks.py::test_the_key_has_its_name_for_good_before_a_token_is_made_of_it",
    "survey.furnish": _POWER + "a_directory_that_a_doctor_has_made_is_there",
    "unbundle._Outputs.add": _POWER + "all_that_was_imported_is_there",
    "unbundle._Outputs.sync": _POWER + "all_that_was_imported_is_there",
}  # fmt: skip
