"""What holds at any moment, whatever dies, fails, or comes twice."""

from __future__ import annotations

from tests.promises.rows import Held, promise

# fmt: off
INVARIANTS = (
    promise(
        "INV-1", "Whoever was told an id, or got exit code 0, finds what he asked for on disk, once, "
                 "whatever dies afterwards.",
        Held("store/test_mailbox.py::test_an_acknowledged_message_survives_a_power_cut",
             "dwf/store/mailbox.py",
             "            raise\n"
             "        self.sync_new()\n"
             "        return True",
             "            raise\n"
             "        return True"),
        Held("store/test_creation.py::test_an_acknowledged_run_survives_a_power_cut_of_any_kind",
             "dwf/store/creation.py",
             "        disk.fsync_dir(layout.runs)\n"
             "        pairs =",
             "        pairs ="),
        Held("store/test_history.py::test_commit_returns_only_when_the_batch_would_survive_a_power_cut",
             "dwf/store/history.py",
             "            self._disk.fdatasync(self._fd, self.path)\n"
             "        except",
             "            pass\n"
             "        except"),
    ),
    promise(
        "INV-2", "What was not acknowledged is there or not, never half; the same command again succeeds "
                 "with the same answer.",
        Held("store/test_mailbox.py::test_after_a_crash_at_any_call_a_message_is_whole_or_not_there_and_pos"
             "ting_again_works",
             "dwf/store/mailbox.py",
             "            self._disk.write_new(draft, data, self._mode)\n"
             "        except FileExistsError:\n"
             "            return False\n",
             '            self._disk.write_new(f"{self._layout.mail_new}/{name}", data, self._mode)\n'
             "            self.sync_new()\n"
             "            return True\n"
             "        except FileExistsError:\n"
             "            return False\n"),
        Held("engine/test_instances.py::test_use_answers_with_the_run_that_is_there_if_it_is_the_same",
             "dwf/engine/start.py",
             "        if differs is None:\n"
             "            return Started",
             "        if False:\n"
             "            return Started"),
    ),
    promise(
        "INV-3", "Nothing is answered, begun or decided on the strength of a record that is not on disk, "
                 "whoever wrote it.",
        Held("store/test_history.py::test_what_a_killed_writer_left_is_made_durable_before_it_is_believed",
             "dwf/store/history.py",
             "        self._disk.fdatasync(self._fd, self.path)\n"
             "        self._make_name",
             "        self._make_name"),
        Held("engine/test_order.py::test_what_is_answered_for_a_known_key_is_on_disk",
             "dwf/engine/post.py",
             "        believe_history(store.disk, view.path)\n"
             "        found.append",
             "        found.append"),
    ),
    promise(
        "INV-4", "Bytes of a history that were acknowledged never change: it only grows, and a repair cuts "
                 "off only what was not.",
        Held("store/test_history_limits.py::test_whatever_happens_the_acknowledged_is_there_and_every_histo"
             "ry_begins_with_the_one_before",
             "dwf/store/history.py",
             "                self._disk.truncate(self._fd, self.size, self.path)\n"
             "        except (OSError",
             "                self._disk.truncate(self._fd, self.size // 2, self.path)\n"
             "        except (OSError"),
        Held("store/test_mend.py::test_a_torn_tail_is_cut_off_kept_and_told",
             "dwf/store/history.py",
             "        if found.tail:\n"
             "            self._disk.truncate(self._fd, self.size, self.path)",
             "        if found.tail:\n"
             "            self._disk.truncate(self._fd, self.size - 1, self.path)"),
    ),
    promise(
        "INV-5", "After a recovery every line of a history parses, numbers run on, the chain holds and the "
                 "last byte is a newline.",
        Held("store/test_mend.py::test_the_next_record_is_never_glued_to_a_torn_one",
             "dwf/store/history.py",
             "        if found.tail:\n"
             "            self._disk.truncate(self._fd, self.size, self.path)",
             "        if False:\n"
             "            self._disk.truncate(self._fd, self.size, self.path)"),
    ),
    promise(
        "INV-6", "A step that was asked for is carried out at least once and its end is recorded once.",
        Held("faults/test_deaths.py::test_death_at_any_call_loses_nothing_and_repeats_nothing",
             "dwf/engine/steps.py",
             "            if started is None or step.command in self._begun_here:",
             "            if True:"),
        Held("engine/test_order.py::test_steps_that_had_ended_when_the_last_batch_was_thrown_away_are_not_lost",
             "dwf/engine/drive.py",
             "self._ready = [arrival for arrival in [*self._batch, *self._ready] if arrival.rank == CLOSING]",
             "self._ready = []"),
    ),
    promise(
        "INV-7", "A step whose end is recorded is not carried out again.",
        Held("faults/test_teeth.py::test_two_faults_in_a_row_are_survived",
             "dwf/store/history.py",
             "        self._disk.fdatasync(self._fd, self.path)\n"
             "        self._make_name",
             "        self._make_name"),
    ),
    promise(
        "INV-8", "The idempotency key belongs to the step: the same in every attempt, tick and process.",
        Held("engine/test_steps.py::test_the_idempotency_key_is_the_same_for_every_attempt_and_another_for_"
             "every_step",
             "dwf/engine/attempts.py",
             'return f"{run}:{command}" if link == 1',
             'return f"{run}:{command}.{self._journal().state.steps[command].attempts}" if link == 1'),
    ),
    promise(
        "INV-9", 'That an attempt begins is on disk before it begins, so "never begun" can be told from '
                 '"begun, and then?".',
        Held("engine/test_order.py::test_a_step_begins_after_its_attempt_is_on_disk",
             "dwf/engine/drive.py",
             "        self._commit()\n"
             "        self.steps.cancel_asked()\n"
             "        self.steps.launch()",
             "        self.steps.launch()\n"
             "        self._commit()\n"
             "        self.steps.cancel_asked()"),
        Held("engine/test_orphans.py::test_a_step_that_may_be_tried_once_only_ends_as_unknown_and_is_not_ru"
             "n_again",
             "dwf/engine/outcomes.py",
             "    limit = step.max_attempts\n"
             "    if limit and step.tries >= limit:\n"
             "        error = ev.",
             "    limit = step.max_attempts\n"
             "    if False:\n"
             "        error = ev."),
    ),
    promise(
        "INV-10", "The same history gives the same commands: a difference blocks the run and records "
                  "nothing else.",
        Held("core/test_matching.py::test_another_argument_is_another_command",
             "dwf/core/matching.py",
             "    return same(record, asked)",
             "    return True"),
        Held("core/test_waiting.py::test_sets_of_tasks_and_futures_have_the_order_in_which_they_were_made",
             "dwf/core/tasks.py",
             "    def __hash__(self) -> int:\n"
             "        return self.birth",
             "    def __hash__(self) -> int:\n"
             "        return id(self) >> 4"),
        Held("core/test_random_programs.py::test_every_prefix_of_a_random_history_goes_on_the_same",
             "dwf/core/signals.py",
             "        return kept.popleft() if kept else None",
             "        self.n = getattr(Signals, 'n', 0) + 1\n"
             "        Signals.n = self.n\n"
             "        return (kept.popleft() if self.n % 2 else kept.pop()) if kept else None"),
    ),
    promise(
        "INV-11", "A timer fires once, never before its time by the recorded clock; overdue ones in the "
                  "order of their times.",
        Held("engine/test_time.py::test_a_timer_never_fires_before_its_time_by_the_recorded_clock",
             "dwf/engine/arrivals.py",
             "        if (due := unstamp(timer.fire_at)) <= now_us",
             "        if (due := unstamp(timer.fire_at)) <= now_us + 5_000_000"),
        Held("engine/test_time.py::test_overdue_timers_fire_in_the_order_of_their_own_time",
             "dwf/engine/drive.py",
             "waiting = deque(sorted(self._ready + due))",
             "waiting = deque(self._ready + due)"),
    ),
    promise(
        "INV-12", "A wall clock that jumps loses no timer and doubles none, and time within a run never "
                  "goes back.",
        Held("store/test_record.py::test_times_never_go_back_and_never_leave_the_calendar",
             "dwf/store/record.py",
             "us = now_us if self.last_us <= now_us <= LAST_MICROS else min(max(now_us, self.last_us), "
             "LAST_MICROS)",
             "us = min(now_us, LAST_MICROS)"),
        Held("engine/test_time.py::test_a_clock_that_is_set_back_loses_no_timer_and_fires_none_twice",
             "dwf/store/record.py",
             "us = now_us if self.last_us <= now_us <= LAST_MICROS else min(max(now_us, self.last_us), "
             "LAST_MICROS)",
             "us = min(now_us, LAST_MICROS)"),
    ),
    promise(
        "INV-13", "At most one process writes to a run; a dead one never stands in the way, and no file "
                  "needs deleting by hand.",
        Held("store/test_locks.py::test_of_many_processes_exactly_one_is_inside_at_any_time",
             "dwf/store/locks.py",
             "            if lock.intact():\n"
             "                break",
             "            break"),
        Held("store/test_locks.py::test_a_killed_holder_frees_it_and_what_he_left_behind_is_used_again",
             "dwf/store/locks.py",
             "        path = self._path(run)\n"
             "        lock = self._of_spare",
             "        path = self._path(run)\n"
             "        if os.path.exists(path):\n"
             "            return None\n"
             "        lock = self._of_spare"),
        Held("store/test_locks.py::test_a_stopped_holder_keeps_it_however_old_its_file_is",
             "dwf/store/locks.py",
             "            if not lock._seize():\n"
             "                return None",
             "            if not lock._seize():\n"
             "                os.unlink(path)\n"
             "                continue"),
    ),
    promise(
        "INV-14", "Ticks may overlap: who finds a run taken leaves it, and many ticks do what one does.",
        Held("engine/test_many.py::test_a_tick_skips_what_another_one_works_on_and_ends",
             "dwf/store/locks.py",
             "        return lock_descriptor(fd, blocking=False)",
             "        return lock_descriptor(fd, blocking=False) or True"),
    ),
    promise(
        "INV-15", "A run that is damaged, unreadable or cannot be loaded stops only itself, and is told of once.",
        Held("engine/test_blocked.py::test_a_corrupt_history_stops_only_its_own_run_and_is_told_once",
             "dwf/engine/drive.py",
             "        except (HistoryCorrupt, NewerFormat) as error:",
             "        except NewerFormat as error:"),
        Held("test_bad_inputs/test_reading.py::test_a_damaged_run_is_news_once",
             "dwf/engine/ending.py",
             "    known = before is not None and before.status == status.value",
             "    known = False"),
    ),
    promise(
        "INV-16", "The index is derived: deleted, damaged or of another boot, it changes no answer.",
        Held("engine/test_many.py::test_damage_to_the_index_between_any_two_steps_changes_nothing",
             "dwf/engine/tick.py",
             "        if not self._store.index.trusted():\n",
             "        if False:\n"),
        Held("store/test_index.py::test_an_index_of_another_boot_is_not_trusted_and_is_rebuilt",
             "dwf/store/indexfile.py",
             "SELECT schema = ? AND boot = ? AND inode = ?,",
             "SELECT schema = ? AND ? IS NOT NULL AND inode = ?,"),
        Held("store/test_index.py::test_a_copy_of_the_index_is_not_trusted",
             "dwf/store/indexfile.py",
             "SELECT schema = ? AND boot = ? AND inode = ?,",
             "SELECT schema = ? AND boot = ? AND ? IS NOT NULL,"),
    ),
    promise(
        "INV-17", "Readers write nothing, lock nothing, never see half a record, and need no more than to "
                  "be allowed to read.",
        Held("store/test_reading.py::test_readers_never_write_and_need_no_more_than_to_read",
             "dwf/store/files.py",
             "        fd = os.open(path, os.O_RDONLY | _SAFE)\n"
             "    except FileNotFoundError:\n"
             "        raise\n",
             "        fd = os.open(path, os.O_RDWR | _SAFE)\n"
             "    except FileNotFoundError:\n"
             "        raise\n"),
        Held("store/test_reading.py::test_a_reader_looks_again_when_a_writer_was_just_changing_what_it_saw",
             "dwf/store/reading.py",
             "    for _ in range(2):\n"
             "        if found.finding is None:",
             "    for _ in range(0):\n"
             "        if found.finding is None:"),
    ),
    promise(
        "INV-18", "A full disk, a quota, an I/O error: one line with path and reason, nothing "
                  "acknowledged, and it goes on by itself when there is room.",
        Held("engine/test_disk.py::test_a_full_disk_is_told_with_path_and_errno_and_nothing_is_acknowledged",
             "dwf/store/files.py",
             "            raise disk_error(operation, path, error) from error\n",
             "            return len(args[1]) if operation == 'write' else 0\n"),
        Held("store/test_history.py::test_a_write_that_fails_half_way_is_taken_back",
             "dwf/store/history.py",
             "            if 0 < os.fstat(self._fd).st_size - self.size <= attempted:",
             "            if False:"),
    ),
    promise(
        "INV-19", "A sync that failed is not tried again and nothing is acknowledged; the next process "
                  "writes the record anew.",
        Held("store/test_history.py::test_a_failed_commit_is_not_retried_and_leaves_the_history_as_it_was",
             "dwf/store/history.py",
             'the file as it was if that is possible."""\n'
             "        self._usable = False",
             'the file as it was if that is possible."""\n'
             "        self._usable = True"),
    ),
    promise(
        "INV-20", "Damage before the tail is never passed over and never repaired unasked.",
        Held("store/test_mend.py::test_damage_before_the_tail_is_refused_and_the_file_untouched",
             "dwf/store/history.py",
             "            if found.finding is not None and not found.mendable:",
             "            if False:"),
        Held("store/test_verify.py::test_any_flipped_byte_is_found_in_its_line",
             "dwf/store/record.py",
             "        if line[cut:] != before + expected + after:\n"
             "            return count, previous\n"
             "        previous = expected",
             "        if line[cut : cut + 9] != before:\n"
             "            return count, previous\n"
             "        previous = line[cut + 9 : -2]"),
    ),
    promise(
        "INV-21", "A history of a newer dwf is left alone, others go on; fields that this version does not "
                  "know survive.",
        Held("store/test_mend.py::test_a_newer_history_is_left_alone_and_shown_as_far_as_it_can_be",
             "dwf/store/verify.py",
             "    if header.format > FORMAT:\n"
             "        return Finding",
             "    if False:\n"
             "        return Finding"),
        Held("store/test_verify.py::test_an_unknown_event_type_is_of_a_newer_version_and_the_lines_before_i"
             "t_are_shown",
             "dwf/store/verify.py",
             "        if seen is not None and seen.type not in EVENT_TYPES:\n"
             "            return None, place.says(NEWER,",
             "        if seen is not None and seen.type not in EVENT_TYPES:\n"
             "            return None, place.says(CORRUPT,"),
    ),
    promise(
        "INV-22", "A closed run stays closed: nothing is recorded behind its end but its repair.",
        Held("engine/test_signals.py::test_a_signal_that_crosses_the_end_is_kept_as_late",
             "dwf/engine/drive.py",
             "        if state.ended is not None:\n"
             "            return closed(",
             "        if False:\n"
             "            return closed("),
    ),
    promise(
        "INV-23", "A signal has one fate: kept until somebody waits for it; kept as late after the end; "
                  "refused once the run is closed.",
        Held("core/test_signals.py::test_a_signal_that_came_before_anybody_waited_is_kept",
             "dwf/core/signals.py",
             "        self._kept.setdefault(signal.name, deque()).append(signal)\n",
             "        self._kept.setdefault(signal.name, deque())\n"),
        Held("engine/test_signals.py::test_a_signal_to_a_script_that_is_done_without_waiting_is_kept_as_late",
             "dwf/engine/ending.py",
             "                store.mailbox.to_late(letter.name)",
             "                store.mailbox.discard([letter.name])"),
        Held("engine/test_signals.py::test_a_signal_after_the_end_is_refused_at_once",
             "dwf/engine/post.py",
             "    if view.state.ended is not None and not view.state.continues:\n"
             "        raise WrongState(",
             "    if False:\n"
             "        raise WrongState("),
    ),
    promise(
        "INV-24", "A signal that arrives while its run goes to sleep is seen by this tick or the next.",
        Held("engine/test_order.py::test_a_signal_that_left_no_trace_is_found_before_the_run_is_left",
             "dwf/engine/drive.py",
             "        self._ready += self._mail.fresh(surely=True)",
             "        self._ready += self._mail.fresh()"),
        Held("engine/test_order.py::test_a_signal_that_is_found_when_the_script_is_done_is_delivered_before"
             "_what_ended_it",
             "dwf/engine/drive.py",
             "            if self._looks < _LAST_LOOKS and self._mail.came_in_time():",
             "            if False:"),
    ),
    promise(
        "INV-25", "A wait that ran out, and was recorded so, stays that in every replay, although the "
                  "signal has come since.",
        Held("core/test_signals.py::test_a_timeout_that_was_recorded_stays_one_although_the_signal_has_come"
             "_meanwhile",
             "dwf/core/replay.py",
             "                for event in events:\n"
             "                    role",
             "                for event in sorted(events, key=lambda e: (e.id > 1, type(e).__name__ != "
             "'SignalReceived')):\n"
             "                    role"),
        Held("engine/test_signals.py::test_a_timeout_stays_a_timeout_in_every_replay_although_the_signal_ha"
             "s_come_since",
             "dwf/core/replay.py",
             "                for event in events:\n"
             "                    role",
             "                for event in sorted(events, key=lambda e: (e.id > 1, type(e).__name__ != "
             "'SignalReceived')):\n"
             "                    role"),
    ),
    promise(
        "INV-26", "A run over which process after process dies is set aside and told of, and keeps no "
                  "other from its turn.",
        Held("engine/test_poison.py::test_a_run_that_kills_its_tick_five_times_is_set_aside_and_said_once",
             "dwf/engine/ending.py",
             "    if deaths >= _DEATHS or (",
             "    if ("),
        Held("engine/test_poison.py::test_of_several_runs_over_which_a_process_died_one_is_driven_at_a_time",
             "dwf/engine/suspects.py",
             "            elif not busy:\n"
             "                chosen.append(run)",
             "            else:\n"
             "                chosen.append(run)"),
        Held("engine/test_poison.py::test_a_long_step_of_one_of_them_keeps_the_others_from_nothing",
             "dwf/engine/suspects.py",
             "            self.runs -= tried\n",
             "            return True\n"),
    ),
    promise(
        "INV-27", "What a killed process has left running of a step is ended, or waited for, before the "
                  "step is begun again.",
        Held("engine/test_orphans.py::test_a_step_that_its_killed_tick_has_left_running_is_ended_before_the"
             "_next_attempt",
             "dwf/engine/steps.py",
             "            if end_orphan(started.pid, started.pid_start, started.boot, _ORPHAN_GRACE_US, key):",
             "            if True:"),
        Held("engine/test_unknown.py::test_what_still_runs_is_waited_for_if_the_step_wants_it",
             "dwf/engine/steps.py",
             '        if step.scheduled.orphan != "wait" or not',
             "        if step.scheduled.orphan or not"),
        Held("engine/test_orphans.py::test_what_cannot_be_ended_blocks_the_run_and_is_not_started_again",
             "dwf/engine/steps.py",
             "                left = left or still_runs(step.title, started.pid)",
             "                pass"),
    ),
    promise(
        "INV-28", "Children inherit no lock and no history, and a process left in the background does not "
                  "hold its run.",
        Held("store/test_locks.py::test_a_plain_fork_of_the_holder_does_not_inherit_it",
             "dwf/store/locks.py",
             "        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())\n",
             "        self._unused = forget\n"),
        Held("activities/test_ending.py::test_a_background_process_that_prints_for_ever_does_not_hold_the_step",
             "dwf/activities/watch.py",
             "_LINGER_NS = 100_000_000",
             "_LINGER_NS = 100_000_000_000"),
    ),
    promise(
        "INV-29", "A state directory of another host, or on a network file system, is refused.",
        Held("store/test_layout.py::test_a_directory_of_another_machine_is_refused_until_adopted",
             "dwf/store/layout.py",
             "    elif (write or post) and bound_to and bound_to != host.machine_id():",
             "    elif False:"),
        Held("store/test_layout.py::test_a_network_file_system_is_refused_when_it_is_made",
             "dwf/store/layout.py",
             '    if kind in _NETWORK or kind.startswith("fuse."):',
             "    if False:"),
    ),
    promise(
        "INV-30", "A history that is another run's, or older than what a witness has seen, is noticed.",
        Held("store/test_verify.py::test_damage_is_named_with_line_byte_and_kind",
             "dwf/store/verify.py",
             "    if named is not None and named[0] != header.run:",
             "    if False:"),
        Held("engine/test_witness.py::test_a_history_that_was_shortened_is_found",
             "dwf/engine/witness.py",
             "    if max(lengths) > there:",
             "    if False:"),
    ),
    promise(
        "INV-31", "Nothing is left behind: drafts, locks and refused mail are tidied away or bounded.",
        Held("engine/test_killed_senders.py::test_what_a_killed_sender_left_is_removed_a_day_later_by_a_tic"
             "k_that_has_work",
             "dwf/engine/tick.py",
             "            self._store.mailbox.sweep(self._engine.clock())\n",
             ""),
        Held("store/test_mailbox.py::test_what_was_refused_is_bounded",
             "dwf/store/refused.py",
             "            self._bound()\n",
             "            pass\n"),
        Held("store/test_locks.py::test_sweeping_removes_what_killed_holders_left_and_nothing_that_is_held",
             "dwf/store/locks.py",
             "            if not spare(run) and (lock := self.take(run)):",
             "            if spare(run) and (lock := self.take(run)):"),
    ),
    promise(
        "INV-32", "No secret is in a history, an index, an error or on a screen, and no escape sequence of "
                  "a stranger either.",
        Held("engine/test_secrets.py::test_a_step_gets_the_value_and_nobody_else_does",
             "dwf/activities/secrets.py",
             "        return self._in_text.sub(MASKED, text)",
             "        return text"),
        Held("cli/test_screen.py::test_nothing_that_is_shown_can_move_a_cursor",
             "dwf/core/messages.py",
             '    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):',
             '    if unicodedata.category(char) in ("Cf", "Cs", "Co", "Zl", "Zp"):'),
    ),
)
