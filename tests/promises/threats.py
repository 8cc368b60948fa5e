"""What others on the machine may try, and what it comes to."""

from __future__ import annotations

from tests.promises.rows import Held, promise

# fmt: off
THREATS = (
    promise(
        "THR-1", "Nobody else reads the state: files 0600, directories 0700, whatever the umask; a wider "
                 "one is refused.",
        Held("store/test_files.py::test_a_new_file_is_0600_whatever_the_umask",
             "dwf/store/files.py",
             '            self._do("chmod", path, os.fchmod, fd, mode)\n'
             "        except",
             "            pass\n"
             "        except"),
        Held("store/test_layout.py::test_a_directory_that_others_may_write_is_refused",
             "dwf/store/layout.py",
             "found.st_mode & WRITABLE_BY_OTHERS, found.st_uid == os.geteuid()",
             "0, found.st_uid == os.geteuid()"),
    ),
    promise(
        "THR-2", "A link, a pipe or a foreign file planted in place of one of ours is refused, at once, "
                 "and not followed.",
        Held("store/test_files.py::test_links_are_not_followed",
             "dwf/store/files.py",
             "_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK",
             "_SAFE = os.O_CLOEXEC | os.O_NONBLOCK"),
        Held("store/test_files.py::test_what_is_no_regular_file_is_refused_at_once",
             "dwf/store/files.py",
             "    if not stat.S_ISREG(found.st_mode):\n"
             "        raise _refused",
             "    if False:\n"
             "        raise _refused"),
        Held("store/test_files.py::test_a_file_of_somebody_else_is_refused",
             "dwf/store/files.py",
             "    if owner is not None and found.st_uid != owner:\n"
             "        raise _refused",
             "    if False:\n"
             "        raise _refused"),
    ),
    promise(
        "THR-3", "No id, name or member of an archive leads out of the state directory.",
        Held("core/test_duration.py::test_what_is_no_run_id_is_refused_before_a_path_is_made_of_it",
             "dwf/core/messages.py",
             "    if _ID.fullmatch(text):\n"
             "        return text",
             "    if True:\n"
             "        return text"),
        Held("store/test_bundle.py::test_a_name_that_is_not_ours_has_no_place",
             "dwf/store/bundle.py",
             "    found = _NAME.fullmatch(name)",
             "    found = _NAME.search(name)"),
        Held("store/test_code.py::test_what_is_no_hash_never_becomes_a_path",
             "dwf/store/content.py",
             "        if not _NAME.fullmatch(name):",
             "        if False:"),
    ),
    promise(
        "THR-4", "Nothing that is stored is ever turned into code.",
        Held("test_layout.py::test_nothing_stored_is_ever_run",
             "dwf/store/mend.py",
             "from hashlib import sha256\n",
             "import pickle  # noqa: F401\n"
             "from hashlib import sha256\n"),
    ),
    promise(
        "THR-5", "Values never become part of a shell's text.",
        Held("activities/test_shell.py::test_a_script_finds_its_arguments_and_no_text_of_them",
             "dwf/activities/shell.py",
             '["/bin/sh", "-c", spec.script, "dwf", *spec.argv] if spec.script',
             '["/bin/sh", "-c", spec.script.replace("$2", "".join(spec.argv[1:2])), "dwf", *spec.argv] if '
             "spec.script"),
    ),
    promise(
        "THR-6", "Root runs nothing, and uses no state, that others can write or exchange.",
        Held("engine/test_owners.py::test_root_neither_loads_nor_starts_what_others_can_write",
             "dwf/engine/owners.py",
             "        if os.geteuid() != 0:\n"
             "            return\n"
             "        trusted = {0}",
             "        return"),
        Held("engine/test_owners.py::test_code_that_belonged_to_another_is_not_driven_by_root",
             "dwf/engine/owners.py",
             "    if os.geteuid() == 0 and state.code_owner not in (0, _UNKNOWN):",
             "    if False:"),
        Held("engine/test_owners.py::test_root_uses_no_state_directory_that_others_can_exchange",
             "dwf/store/layout.py",
             "    if not from_others and mine and write:\n"
             "        refuse_for_root(path)",
             "    if False:\n"
             "        refuse_for_root(path)"),
    ),
    promise(
        "THR-7", "A member of a shared directory can post under his own name, and neither write, replace "
                 "nor remove what is not his.",
        Held("shared/test_hostile.py::test_what_is_not_his_a_member_can_neither_write_nor_replace_nor_remove",
             "dwf/store/sharing.py",
             "0o2700, 0o3770",
             "0o2700, 0o2770"),
        Held("shared/test_members.py::test_the_policy_says_who_may_start_and_answer",
             "dwf/engine/rights.py",
             "    if ANYBODY in may or is_one_of(uid, may):",
             "    if True:"),
        Held("shared/test_members.py::test_a_policy_is_held_against_what_was_posted_before_it",
             "dwf/engine/incoming.py",
             "            if why := forbidden(self._store, letter.uid, kind, letter.message.name):\n",
             "            if False:\n"),
    ),
    promise(
        "THR-8", "A secret is recorded nowhere: it is named, looked up in the step, and masked in what the "
                 "step tells.",
        Held("engine/test_secrets.py::test_it_is_masked_where_the_output_comes_in_pieces",
             "dwf/activities/output.py",
             "            data, self._held = self._masking.stream(self._held + data)",
             "            data = b''.join(self._masking.stream(data))"),
        Held("engine/test_secrets.py::test_it_is_masked_in_errors_and_what_they_tell",
             "dwf/activities/secrets.py",
             '            changed["error"] = self._struct(outcome.error, ErrorInfo)',
             "            pass"),
    ),
    promise(
        "THR-9", "A history that was rewritten with a good chain is found by a witness.",
        Held("engine/test_witness.py::test_a_history_that_was_rewritten_with_a_good_chain_is_found",
             "dwf/engine/witness.py",
             "if length <= there and heads != {chain[length - 1]})",
             "if False)"),
        Held("engine/test_witness.py::test_what_was_driven_without_a_witness_is_told_to_a_file_by_the_next_tick",
             "dwf/engine/witness.py",
             "        wanted |= set(changed_since(layout, since - _SLACK_NS))\n",
             "        pass\n"),
    ),
    promise(
        "THR-10", "Whatever strangers write is stored as plain ASCII and shown escaped.",
        Held("store/test_record.py::test_every_line_is_printable_ascii_and_one_line",
             "dwf/store/record.py",
             "    if data.translate(None, _PRINTABLE):",
             "    if False:"),
        Held("cli/test_show.py::test_what_strangers_wrote_cannot_reach_the_terminal",
             "dwf/cli/escape.py",
             "    if text.isprintable():\n"
             "        return text",
             "    if True:\n"
             "        return text"),
    ),
    promise(
        "THR-11", "A newline in a value ends no record.",
        Held("store/test_record.py::test_a_payload_on_several_lines_becomes_one",
             "dwf/store/record.py",
             "        text = msgspec.json.format(data, indent=-1).decode()",
             "        text = data.decode()\n"
             "        return data"),
    ),
    promise(
        "THR-12", "Nobody stalls or fills dwf with what is large, deep, endless or many: there is a limit "
                  "at every entrance.",
        Held("test_bad_inputs/test_payloads.py::test_a_payload_over_the_limit_is_refused_with_limit_size_an"
             "d_advice",
             "dwf/core/values.py",
             "    if len(data) > PAYLOAD_LIMIT:",
             "    if False:"),
        Held("shared/test_hostile.py::test_a_flood_of_one_member_is_bounded_and_does_not_shut_out_the_others",
             "dwf/store/mailbox.py",
             "        for uid, name in over:\n",
             "        for uid, name in over[:0]:\n"),
        Held("activities/test_output.py::test_a_hundred_megabytes_need_little_memory",
             "dwf/activities/output.py",
             "        while self._last_size - len(self._last[0]) >= self._tail_limit:",
             "        while False:"),
        Held("shared/test_hostile.py::test_nothing_in_the_mailbox_stalls_the_engine",
             "dwf/store/letters.py",
             "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY",
             "os.O_RDONLY | os.O_NOFOLLOW | os.O_NOCTTY"),
    ),
    promise(
        "THR-13", "A step finds a clean environment, whatever the tick was started with.",
        Held("activities/test_shell.py::test_the_environment_is_clean_and_names_the_step",
             "dwf/activities/environment.py",
             '    return {"PATH": _path(environ.get("PATH", "")), **kept}',
             '    return {**environ, "PATH": _path(environ.get("PATH", "")), **kept}'),
    ),
    promise(
        "THR-14", "Under sudo the caller's directory is not root's.",
        Held("cli/test_init.py::test_under_sudo_the_callers_directory_is_not_roots",
             "dwf/cli/session.py",
             "        if os.lstat(home).st_uid != 0:",
             "        if False:"),
    ),
    promise(
        "THR-15", "No stranger's process is ended: a process is known by pid, start time and boot, never "
                  "by its pid alone.",
        Held("activities/test_orphans.py::test_another_process_with_the_same_pid_is_never_touched",
             "dwf/activities/orphans.py",
             "    if found is not None and found.start != pid_start:",
             "    if False:"),
        Held("activities/test_orphans.py::test_a_signal_goes_to_the_process_that_was_seen_and_not_to_its_number",
             "dwf/activities/session.py",
             "        if now is not None and now.start == target.start:",
             "        if now is not None:"),
        Held("test_host.py::test_a_process_of_an_earlier_boot_is_dead_whatever_its_pid",
             "dwf/host.py",
             "    if pid <= 0 or boot != boot_id():",
             "    if pid <= 0:"),
    ),
    promise(
        "THR-16", "Nothing is loaded because it is installed: no plug-ins, no entry points.",
        Held("test_layout.py::test_nothing_is_loaded_because_it_is_installed",
             "dwf/engine/stuck.py",
             "from __future__ import annotations\n",
             "from __future__ import annotations\n"
             "\n"
             "from importlib.metadata import entry_points  # noqa: F401\n"),
    ),
    promise(
        "THR-17", "Files that are being written lie in the state directory, never in /tmp.",
        Held("test_layout.py::test_nothing_is_written_where_everybody_can_write",
             "dwf/store/bundle.py",
             "from __future__ import annotations\n",
             "from __future__ import annotations\n"
             "\n"
             "import tempfile  # noqa: F401\n"),
    ),
    promise(
        "THR-18", "A restored copy goes on with nothing before somebody says that it may.",
        Held("store/test_layout.py::test_a_directory_of_another_machine_is_refused_until_adopted",
             "dwf/store/layout.py",
             "    elif (write or post) and bound_to and bound_to != host.machine_id():",
             "    elif False:"),
        Held("engine/test_moving.py::test_the_run_is_closed_where_it_was",
             "dwf/core/state.py",
             "        if not isinstance(self.ended, ev.TERMINAL):\n"
             "            self.ended = event\n",
             "        pass\n"),
        Held("engine/test_witness.py::test_another_run_under_the_same_id_is_found",
             "dwf/engine/witness.py",
             "if length <= there and heads != {chain[length - 1]})",
             "if False)"),
    ),
    promise(
        "THR-19", "A verb that replays runs no stranger's code as the reader.",
        Held("engine/test_owners.py::test_a_reader_replays_only_what_he_can_trust",
             "dwf/engine/owners.py",
             "    if keeper in trusted and (owner in trusted or owner == _UNKNOWN):",
             "    if True:"),
        Held("cli/test_checking.py::test_a_file_of_a_stranger_is_not_run",
             "dwf/engine/owners.py",
             "        if owner not in {uid, 0} | keeper:",
             "        if False:"),
    ),
    promise(
        "THR-20", "What another wrote, or what was once right, cannot be used as an answer again.",
        Held("shared/test_hostile.py::test_an_answer_to_another_instance_is_late",
             "dwf/engine/chain.py",
             '    if message.nonce in ("", head.nonce):\n',
             "    if True:\n"),
        Held("engine/test_approvals.py::test_an_answer_can_be_bound_to_what_was_shown",
             "dwf/engine/post.py",
             "    if if_hash is not None and not asked.fingerprint.startswith(if_hash):",
             "    if False:"),
        Held("shared/test_hostile.py::test_a_forged_answer_does_not_count_and_is_kept_with_the_reason",
             "dwf/store/letters.py",
             "    if found.st_mode & WRITABLE_BY_OTHERS:",
             "    if False:"),
    ),
    promise(
        "THR-21", "A reader can hold neither a lock nor the index.",
        Held("store/test_locks.py::test_a_reader_who_locks_the_history_stops_nobody",
             "dwf/store/locks.py",
             '        return f"{self._directory}/{run}{_SUFFIX}"',
             '        return f"{self._directory}/../runs/{run}.jsonl"'),
        Held("shared/test_hostile.py::test_a_lock_or_an_index_cannot_be_held_by_a_reader",
             "dwf/store/sharing.py",
             "    return _HOME if path == layout.home else DIR_MODE",
             "    return _POST if path == layout.locks else _HOME if path == layout.home else DIR_MODE"),
    ),
    promise(
        "THR-23", "Of a callback's token a history holds only the hash.",
        Held("engine/test_callbacks.py::test_the_token_stands_nowhere_and_its_hash_in_the_history",
             "dwf/engine/tokens.py",
             "    return replace(opening, token_hash=hash_of(_token(opening.command, store, state)))",
             "    return replace(opening, token_hash=_token(opening.command, store, state))"),
    ),
)
