/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The claim of a channel (kmod/claim.c), with all that wakes and is woken by it: a model
 * for spin. Names are those of the code.
 *
 * One channel, with a ring of SIZE packets; two threads that hand pages over; a worker, which
 * may rest, or not get to run any more; a reader, which may be interrupted, and may read no
 * more at any time, or PUMP, whose socket may be full; the rate; and the end of the session,
 * of either kind. They are interleaved step by step, in all orders. A step is an access to
 * something that others use, or what is done under a spinlock, if all that is looked at is
 * under that lock, but for one exchange of the state. A condition that looks at the session's
 * phase and at the ring is one step, too.
 *
 * Memory is sequentially consistent here. In the code that is so where it matters, since
 * what the proofs rest on are stores, full barriers and loads: the exchanges of the state;
 * smp_mb() in mzp_claim_kick(), mzp_claim_wait_begin(), mzp_claim_wait_end(), mzp_ring_room()
 * and mzp_ring_release(), mzp_channel_drain() and mzp_channel_unlock(); set_current_state() and
 * wq_has_sleeper(). Whether one of these is missing, the model does not see.
 *
 * What must hold is at the end, when nobody can go on; and, always, that one at most runs
 * the channel, that it is in a queue if and only if it is QUEUED, that what is taken out of
 * the ring or put there is there, or has room, and that neither PUMP nor the worker goes
 * round and round though nothing happens.
 *
 * Each rule can be left out, one by one (WITHOUT_…), which must make the model fail.
 * tests/model/run has the sizes and parts that are gone through, and the rules. The way to a
 * fault is found by hand, where a copy of this is:
 *
 *	spin -a -DSECOND=0 -DWITHOUT_KICKED claim.pml && gcc -w -DSAFETY -DBFS -o pan pan.c
 *	./pan; spin -t -p -g -DSECOND=0 -DWITHOUT_KICKED claim.pml
 */
#ifndef FIRST
#define FIRST 1		/* pages that each of the two threads hands over */
#endif
#ifndef SECOND
#define SECOND 1
#endif
#ifndef SIZE
#define SIZE 1
#endif
#ifndef HARD
#define HARD 0		/* which page only the reader can get, or 0 */
#endif
#ifdef NO_WORKERS
#define WORKERS false
#else
#define WORKERS true
#endif

mtype = { IDLE, LEFT, QUEUED, RUNNING, KICKED };	/* enum mzp_claim_state */
mtype = { NOTHING, SOME, NEEDS_READER };		/* enum mzp_produced */

/* struct mzp_claim; a run queue; struct mzp_ring */
mtype state = IDLE;
byte waiting;
bool needs_reader;
bool noted;		/* @reader is set */
bool up = WORKERS;
bool queued;
byte ring;
bool starved;

/* what there is to do, and what the channel has of it */
byte pages;
bool job;
byte hard = HARD;	/* pages up to the one that only the reader can get; 0: there is none */
#ifdef RATE
bool limited = true;	/* the session's rate allows no more */
#else
#define limited false
#endif

#ifdef STOP
bool failed;
bool read_lock;
#define LOCK	atomic { !read_lock -> read_lock = true }
#define UNLOCK	read_lock = false
#else
#define failed	false
#define LOCK	skip
#define UNLOCK	skip
#endif

#ifdef END
bool ending;		/* END was called: no job will follow */
bool ended;
#else
#define ending	false
#define ended	false
#endif

/* the reader's task: waits for readable; asleep; reads no more */
bool hooked;
bool asleep;
bool gone;
#ifdef SIGNAL
bool signal;
#define DELIVER	signal = false
#else
#define signal	false
#define DELIVER	skip
#endif

#ifdef PUMP
/* struct mzp_socket_pump; its @asleep is sleeps */
bool pumps;		/* its entry is in the wait queue readable */
bool woken;
bool sleeps;
bool owed;
bool stuck;		/* it sleeps until there is room in the socket */
#else
#define sleeps	false
#define stuck	false
#endif

bool stopped;		/* the worker does not get to run any more */
#ifdef REST
bool busy;		/* it runs the channel */
#define BUSY(is)	busy = is
#else
#define BUSY(is)	skip
#endif
byte runners;

#define OPEN	(state == LEFT || state == QUEUED)

/* Turns of PUMP, or of the worker, one after the other, in which nothing has happened. */
#if defined(PUMP) || defined(RATE) || HARD > 0
byte turns;
byte turner;
#define TURN		turns++; assert(turns < 4)
#define HAPPENED	turns = (_pid == turner -> turns : 0)
#define PROGRESS	turns = 0
#else
#define TURN		skip
#define HAPPENED	skip
#define PROGRESS	skip
#endif

#define RUN	runners++; assert(runners == 1 && !queued); state = RUNNING; HAPPENED

/* mzp_channel_wake() */
inline wake()
{
	atomic {
#ifdef PUMP
		if
		:: pumps -> woken = true; HAPPENED
		:: else
		fi;
#endif
		if
		:: hooked || sleeps -> asleep = false
		:: else
		fi
	}
}

/* mzp_reader_ready(), mzp_reader_pollable() */
inline reader_ready(ok)
{
	if
	:: atomic { ring > 0 -> ok = true }
	:: ring == 0 ->
#ifdef WITHOUT_OPEN
		ok = false;
#elif defined(POLL)
		ok = OPEN && !limited;
#else
		ok = OPEN;
#endif
		if
		:: ok
		:: else -> ok = failed || ended
		fi
	fi
}

/* mzp_claim_for_worker() */
inline for_worker(ok)
{
	if
	:: atomic { !up -> ok = false }
	:: up ->
		if
		:: atomic { !waiting -> ok = true }
		:: waiting -> ok = (ring > 0)
		fi
	fi
}

/* mzp_runqueue_add(), by who runs it */
inline runqueue_add(ok)
{
	atomic {
		if
		:: up -> assert(!queued && runners == 1);
			queued = true; state = QUEUED; runners--; HAPPENED; ok = true
		:: else -> ok = false
		fi
	}
}

/* mzp_runqueue_remove(), mzp_runqueue_pop() */
inline runqueue_remove(ok)
{
	atomic {
		ok = queued;
		if
		:: ok -> assert(state == QUEUED); queued = false; RUN
		:: else
		fi
	}
}

/*
 * mzp_claim_take(): what it reads of the state and then finds unchanged is one step, and
 * if it has changed, it starts afresh.
 */
inline claim_take(ok)
{
	atomic {
		if
		:: state == IDLE || state == LEFT -> RUN; ok = true
		:: state == QUEUED ->
#ifndef WITHOUT_UNLINK
			queued = false;
#endif
			RUN; ok = true
		:: else -> ok = false
		fi
	}
}

/* mzp_channel_drain() */
inline drain(ok)
{
#ifdef STOP
	do
	:: atomic { ring > 0 -> ok = !read_lock; read_lock = true };
		if
		:: ok -> ring = 0; read_lock = false
		:: else -> break
		fi
	:: atomic { ring == 0 -> break }
	od
#else
	skip
#endif
}

/* mzp_claim_take_left() */
inline take_left(ok)
{
	if
	:: atomic { state != LEFT -> ok = false }
	:: state == LEFT ->
		if
		:: atomic { needs_reader -> ok = false }
		:: !needs_reader ->
			for_worker(ok);
			if
			:: ok -> claim_take(ok)
			:: else
			fi
		fi
	fi
}

/* mzp_claim_take_or_kick() */
inline take_or_kick(ok)
{
	atomic {
		if
#ifdef WITHOUT_KICK_AT_END
		:: state == RUNNING || state == KICKED -> ok = false
#else
		:: state == RUNNING || state == KICKED -> state = KICKED; ok = false
#endif
		:: else -> claim_take(ok)
		fi
	}
}

/* mzp_channel_let_go() */
inline let_go(ok)
{
	take_or_kick(ok);
	if
	:: ok -> job = false; drain(ok); ok = true
	:: else -> drain(ok); ok = false
	fi;
#ifndef WITHOUT_WAKE_AT_END
	wake()
#endif
}

/* mzp_claim_give_up(), but that ok is whether it was given to somebody else */
inline give_up(result, ok)
{
#ifndef WITHOUT_NEED
	needs_reader = (result == NEEDS_READER);
#endif
	atomic {
		ok = false;
		if
#ifdef WITHOUT_KICKED
		:: result == NOTHING -> state = IDLE; runners--; ok = true
#else
		:: result == NOTHING && state == RUNNING -> state = IDLE; runners--; ok = true
		:: result == NOTHING && state == KICKED -> result = SOME
#endif
		:: else
		fi
	};
	if
	:: !ok ->
		if
		:: result == SOME -> for_worker(ok)
		:: else
		fi;
		if
		:: ok -> runqueue_add(ok)
		:: else
		fi;
		if
#ifdef WITHOUT_WAKE_AT_QUEUE
		:: ok
#else
		:: ok -> wake()
#endif
		:: else -> atomic { state = LEFT; runners--; HAPPENED }
		fi
	:: else
	fi
}

/* mzp_claim_release() */
inline claim_release(result, ok)
{
	do
	:: give_up(result, ok);
	   if
	   :: ok -> break
	   :: !ok && !failed ->
#ifdef WITHOUT_LOOK_AT_LEAVE
		ok = false;
#else
		take_left(ok);
#endif
		if
		:: ok -> result = SOME
		:: else ->
#ifndef WITHOUT_WAKE_AT_LEAVE
			wake();
#endif
			break
		fi
	   :: !ok && failed ->
#ifdef WITHOUT_END_AT_LEAVE
		wake(); break
#else
		let_go(ok);
		if
		:: ok -> result = NOTHING
		:: else -> break
		fi
#endif
	   fi
	od
}

/* mzp_claim_pass_on() */
inline pass_on(result, ok)
{
	take_left(ok);
	if
	:: ok -> result = SOME; claim_release(result, ok)
	:: else
	fi
}

inline wake_at_kick()
{
#ifdef WITHOUT_WAKE_AT_KICK
	skip
#else
	wake()
#endif
}

/*
 * mzp_claim_kick(). When its loop ends, the caller runs the channel (ok), or has left it to
 * the reader (NEEDS_READER), or all is done. That it wakes the reader also after having
 * passed it on is left out here: the release has done that.
 */
inline claim_kick(result, ok)
{
	atomic { result = 0; ok = false };
	do
	:: atomic { state == QUEUED || state == KICKED -> break }
	:: atomic { state == RUNNING -> state = KICKED; HAPPENED }; wake_at_kick(); break
	:: state == IDLE ->
		for_worker(ok);
		atomic {
			if
			:: state == IDLE && ok -> RUN; break
			:: state == IDLE && !ok -> state = LEFT; HAPPENED; result = NEEDS_READER; break
			:: else -> ok = false
			fi
		}
	:: state == LEFT ->
		for_worker(ok);
		atomic {
			if
			:: state == LEFT && ok -> RUN; break
			:: !ok -> result = NEEDS_READER; break
			:: else -> ok = false
			fi
		}
	od;
	if
	:: result == NEEDS_READER ->
#ifndef WITHOUT_LOOK_AT_KICK
		take_left(ok);
#endif
		if
		:: ok
		:: else -> wake_at_kick()
		fi
	:: else
	fi;
	if
	:: ok -> result = SOME; claim_release(result, ok)
	:: else
	fi;
	atomic { result = 0; ok = false }
}

/* mzp_ring_room() */
inline ring_room(ok)
{
	ok = (ring < SIZE);
	if
	:: !ok ->
		starved = true;
#ifndef WITHOUT_LOOK_AT_RING
		if
		:: ring < SIZE -> starved = false; ok = true
		:: else
		fi
#endif
	:: else
	fi
}

/*
 * What a reader waits for in mzp_classify(): a page that a userfaultfd handler brings. It may
 * need what is in the ring for that. The wait looks at nothing of ours.
 */
inline wait_for_page(result)
{
	asleep = true;
	if
	:: atomic { ring == 0 -> hard = 0; result = SOME }
	:: atomic { !asleep -> result = SOME }
	:: signal
#ifdef STOP
	:: skip ->	/* it does not come at all */
		if
		:: atomic { !asleep -> result = SOME }
		:: signal
		fi
#endif
	fi;
	asleep = false
}

/* mzp_producer_limited() */
inline wait_for_rate(result)
{
	atomic { hooked = true; asleep = true };
	do
	:: atomic { state == KICKED || failed -> result = SOME; break }
	:: else ->
		if
		:: atomic { !asleep -> asleep = true }
		:: atomic { signal -> break }
		fi
	od;
	atomic { hooked = false; asleep = false }
}

/* mzp_session_finished(), if ok */
inline finished(ok)
{
#if defined(END) && !defined(WITHOUT_WAKE_AT_ENDED)
	if
	:: ok -> wake()
	:: else
	fi
#else
	skip
#endif
}

/*
 * What the job has more, or mzp_queue_account(): what was taken of it is done, and so may be
 * the session.
 */
inline account(ok)
{
	atomic {
		if
		:: pages > 0 -> pages--
		:: job = false
		fi;
#ifdef END
		ok = ending && !failed && pages == 0 && !job;
		ended = ended || ok
#endif
	};
	finished(ok)
}

/* mzp_producer_run(), by the worker or by the reader */
inline producer_run(reader, result, made, ok)
{
	made = false;
	do
	:: state = RUNNING;	/* mzp_claim_look() */
	   if
	   :: failed -> job = false; drain(ok); result = NOTHING; break
	   :: else
	   fi;
	   ring_room(ok);
	   atomic {
		if
		:: !ok || (!job && pages == 0) -> result = NOTHING; break
		:: else -> result = SOME
		fi
	   };
	   if
	   :: !job && limited -> result = NEEDS_READER
	   :: else ->
		atomic {
			if
			:: !job -> pages--; job = true
			:: else
			fi;
			if
			:: hard == 1 -> result = NEEDS_READER
			:: else
			fi
		}
	   fi;
	   if
	   :: result == SOME ->
		atomic {
			if
			:: assert(ring < SIZE); ring++; made = true
#ifdef END
			:: skip		/* none of its pages is there */
#endif
			fi;
			if
			:: hard > 1 -> hard--
			:: else
			fi;
			PROGRESS
		};
		account(ok)
	   :: else ->
		/* mzp_may_wait() */
		if
#ifdef WITHOUT_RING_FIRST
		:: reader && job -> wait_for_page(result)
#else
		:: reader && job && ring == 0 -> wait_for_page(result)
#endif
#ifndef POLL
		:: reader && !job && ring == 0 -> wait_for_rate(result)
#endif
		:: else
		fi
	   fi;
	   /* mzp_producer_over() */
	   if
	   :: result != SOME -> break
	   :: result == SOME && (!reader || made || signal) -> break
	   :: result == SOME && !(reader && signal)
	   fi
	od;
	if
#ifndef WITHOUT_WAKE_AT_RUN
	:: made -> wake()
#endif
#ifdef WITHOUT_REST_AT_RUN
	:: !made -> wake()
#endif
	:: else
	fi
}

/* SEND; and then, with @rate, mzp_session_set_rate() */
proctype sender(byte nr; bool rate)
{
	mtype result;
	bool ok;

	do
	:: atomic { nr > 0 && !ending -> nr--; pages++ };
	   claim_kick(result, ok)
	:: else -> break
	od;
#ifdef RATE
	if
	:: rate ->
		limited = false;
		claim_kick(result, ok);
#ifndef WITHOUT_WAKE_AT_RATE
		wake()
#endif
	:: else
	fi
#endif
}

/* mzp_worker_fn() */
proctype worker()
{
	mtype result;
	bool made, ok;

end:	do
	:: queued ->
		atomic { runqueue_remove(ok); BUSY(ok) };
		if
		:: ok ->
#ifndef PUMP
			TURN;
#endif
			producer_run(false, result, made, ok); claim_release(result, ok)
		:: else
		fi;
		atomic { result = 0; made = false; ok = false; BUSY(false) }
	:: atomic { stopped = true; break }
	od
}

#ifdef REST
/* mzp_workers_rest(), mzp_workers_go_on(): also what parks a worker */
proctype rest()
{
	mtype result;
	bool ok;

	up = false;
#ifndef WITHOUT_CLOSE
	runqueue_remove(ok);
	if
	:: ok -> result = SOME; claim_release(result, ok)
	:: else
	fi;
#endif
	!busy;
	atomic { assert(!busy); up = true };
#ifndef WITHOUT_KICK_AT_OPEN
	claim_kick(result, ok)
#endif
}
#endif

#ifdef STOP
/* mzp_session_stop(), and mzp_session_rouse_fn() */
proctype stop()
{
	mtype result;
	bool ok;

	failed = true;
#ifdef WITHOUT_STOP
	wake();
#else
	let_go(ok);
	if
	:: ok -> result = NOTHING; claim_release(result, ok)
	:: else
	fi;
#endif
#ifdef WITHOUT_REPETITION
	if
	:: noted -> asleep = false
	:: else
	fi
#else
end:	do
	:: atomic { noted && asleep -> asleep = false }
	:: !noted -> break
	od
#endif
}
#endif

#ifdef END
/* END */
proctype no_more()
{
	bool ok;

	atomic { ending = true; ok = !failed && pages == 0 && !job; ended = ok };
	finished(ok)
}
#endif

#ifdef SIGNAL
proctype interrupt()
{
	signal = true
}
#endif

/* mzp_ring_release() */
inline ring_release(ok)
{
	atomic { assert(ring > 0); ring-- };
#ifdef WITHOUT_STARVED
	ok = false
#else
	atomic {
		ok = starved && ring <= SIZE / 2;
		if
		:: ok -> starved = false
		:: else
		fi
	}
#endif
}

/* mzp_channel_unlock() */
inline channel_unlock(ok)
{
	UNLOCK;
#ifndef WITHOUT_DRAIN
	if
	:: failed -> drain(ok)
	:: else
	fi
#endif
}

/* mzp_reader_produce(); ok: it could take the claim */
inline reader_produce(result, made, ok)
{
	claim_take(ok);
	if
	:: ok ->
		noted = true;
		producer_run(true, result, made, ok);
		noted = false;
		claim_release(result, ok);
		ok = true
	:: else
	fi
}

/* mzp_claim_wait_end(), with ok: it comes */
inline wait_end(result, ok)
{
	waiting--;
#ifndef WITHOUT_LOOK_AT_WAIT_END
	if
	:: ok
	:: else -> pass_on(result, ok)
	fi
#endif
}

/*
 * mzp_channel_lock(). Takes the place of an if's conditions; over: the session's phase
 * was MZP_ENDED before the ring was looked at.
 */
inline channel_lock(over)
{
	LOCK;
#ifndef WITHOUT_PHASE_FIRST
	over = ended
#endif
}

/* The stream has been read to its end. */
inline read_to_end(ok)
{
	channel_unlock(ok);
	assert(ring == 0)
}

/* read(2), time and again: mzp_file_read_iter(), mzp_reader_fill(), mzp_reader_wait() */
proctype reader()
{
	mtype result;
	bool made, ok, err, over;

	do
	:: atomic { gone = true; break }
	:: channel_lock(over);
	   if
	   :: failed -> channel_unlock(ok); atomic { gone = true; break }
	   :: !failed && ring > 0 ->
		ring_release(ok);
		if
		:: ok -> claim_kick(result, ok)
		:: else
		fi;
		channel_unlock(ok)
	   :: !failed && ring == 0 ->
#ifdef WITHOUT_PHASE_FIRST
		over = ended;
#endif
		channel_unlock(ok);
		do
		:: over -> break
		:: else ->
		   reader_produce(result, made, ok);
		   if
		   :: ring > 0 || failed -> break
		   :: else
		   fi;
		   if
#ifdef POLL
		   :: ok && (result == SOME || (result == NEEDS_READER && signal)) ->
#else
		   :: ok && result != NOTHING ->
#endif
			atomic { err = signal; DELIVER; break }
		   :: else
		   fi;
#ifndef POLL
		   waiting++;
#endif
		   do
		   :: atomic { hooked = true; asleep = true };
		      reader_ready(ok);
		      if
		      :: ok -> break
		      :: else ->
end:			if
			:: atomic { !asleep }
			:: atomic { signal -> err = true; DELIVER; break }
			fi
		      fi
		   od;
		   atomic { hooked = false; asleep = false };
#ifndef POLL
		   ok = !err && ring == 0;
		   wait_end(result, ok);
#endif
		   if
		   :: err || ring > 0 || failed || ended -> break
		   :: else -> atomic { result = 0; made = false; ok = false }
		   fi
		od;
		if
		:: over -> assert(ring == 0); atomic { gone = true; break }
		:: else
		fi;
		atomic { result = 0; made = false; ok = false; err = false }
	   fi;
	   over = false
	od
}

#ifdef PUMP
/* mzp_socket_sleep() */
inline socket_sleep()
{
	atomic { asleep = true; sleeps = true };
	if
	:: woken
	:: else ->
end:		if
		:: !asleep
		:: signal
		fi
	fi;
	atomic { sleeps = false; asleep = false }
}

/* mzp_socket_settle() */
inline settle(result, ok)
{
	if
	:: owed -> owed = false; claim_kick(result, ok)
	:: else
	fi
}

/* PUMP, which others end: mzp_socket_run() */
proctype pump()
{
	mtype result;
	bool made, ok, over;

	pumps = true;
	do
	:: break	/* a signal, @max, a socket that fails */
	:: atomic { !signal -> woken = false; TURN };
	   channel_lock(over);
	   if
	   :: failed -> channel_unlock(ok); break
	   :: !failed && ring > 0 ->
		do
		:: ring > 0 ->
			ring_release(ok);
			atomic { owed = owed || ok; ok = false; PROGRESS }
		:: atomic { PROGRESS; stuck = (ring > 0); break }
		od;
		channel_unlock(ok);
		/* mzp_socket_wait_room() */
		if
		:: stuck ->
#ifndef WITHOUT_SETTLING_IN_WAIT
			settle(result, ok);
#endif
			if
			:: skip		/* there is room meanwhile */
			:: socket_sleep()
			fi;
			stuck = false
		:: else
		fi
	   :: !failed && ring == 0 ->
		channel_unlock(ok);
		if
		:: over -> assert(ring == 0); break
		:: else
		fi;
		reader_produce(result, made, ok);
		if
		:: !ok ->
#ifndef WITHOUT_SETTLING
			settle(result, ok);
#endif
			atomic { result = NOTHING; ok = true }
		:: else -> ok = (ring == 0 && !failed)
		fi;
		owed = false;
		if
		:: result == NOTHING && ok ->
			/* mzp_socket_wait_packet() */
			waiting++;
			reader_ready(ok);
			if
			:: ok
			:: else -> socket_sleep()
			fi;
			ok = !signal && ring == 0;
			wait_end(result, ok)
		:: else
		fi
	   fi;
	   atomic { result = 0; made = false; ok = false; over = false }
	od;
	pumps = false;
#ifndef WITHOUT_SETTLING_AT_PUMP_END
	settle(result, ok);
#endif
#ifndef WITHOUT_LOOK_AT_PUMP_END
	pass_on(result, ok);
#endif
	gone = true
}
#endif

active proctype monitor()
{
	atomic {
		run sender(FIRST, true);
		run sender(SECOND, false);
#ifndef NO_WORKERS
#if !defined(PUMP) && (defined(RATE) || HARD > 0)
		turner = run worker();
#else
		run worker();
#endif
#endif
#ifdef REST
		run rest();
#endif
#ifdef STOP
		run stop();
#endif
#ifdef END
		run no_more();
#endif
#ifdef SIGNAL
		run interrupt();
#endif
#ifdef PUMP
		turner = run pump()
#else
		run reader()
#endif
	}
	timeout ->	/* nobody can go on */
	assert(queued == (state == QUEUED));
	assert(runners == 0);
	/* no reader sleeps though there is something for it */
	assert(gone || stuck || (ring == 0 && pages == 0 && !job));
	assert(gone || stuck || !(failed || ended));
	/* what can be done without a reader is done */
	assert(!(gone || stuck) || failed || ring == SIZE || (pages == 0 && !job) ||
	       (state == QUEUED && stopped) || (state == LEFT && (needs_reader || !up)));
	/* nothing is held any more when it is over */
	assert(!failed || (gone && !job && ring == 0) || (state == QUEUED && stopped));
#ifdef END
	/* it has ended if it can */
	assert(!ending || failed || ended || pages > 0 || job)
#endif
}
