/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The claim of a channel (kmod/claim.c), with all that wakes and is woken by it: a model
 * for spin. Names are those of the code.
 *
 * One channel, with a ring of SIZE packets; two threads that kick it; a worker, which may
 * rest, or not get to run any more; a reader, which may be interrupted, and may read no
 * more at any time; and the end of the session. They are interleaved step by step, in all
 * orders. A step is an access to something that others use, or what is done under a
 * spinlock, if all that is looked at is under that lock, but for one exchange of the state.
 *
 * Memory is sequentially consistent here. In the code that is so where it matters, since
 * what the proofs rest on are stores, full barriers and loads: the exchanges of the state;
 * smp_mb() in mzp_claim_kick(), mzp_claim_wait_begin(), mzp_claim_wait_end(), mzp_ring_room()
 * and mzp_ring_release(), mzp_channel_drain() and mzp_channel_unlock(); set_current_state() and
 * wq_has_sleeper(). Whether one of these is missing, the model does not see.
 *
 * What must hold is at the end, when nobody can go on; and, always, that one at most runs
 * the channel, that it is in a queue if and only if it is QUEUED, and that what is taken out
 * of the ring or put there is there, or has room.
 *
 * Each rule can be left out, one by one (WITHOUT_…), which must make the model fail.
 *
 * To be run by hand, it is not part of `make check` yet: going through all of it takes
 * longer than that may.
 *
 *	spin -a [-DPUMP] [-DSIGNAL] [-DREST] … claim.pml && gcc -DSAFETY -o pan pan.c && ./pan
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
#define HARD 0		/* whether there is a page that only the reader can get */
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
bool hard = HARD;
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

/* the reader's task: in the wait queue readable; asleep; what for */
bool hooked;
bool asleep;
bool fault;
bool gone;
#ifdef SIGNAL
bool signal;
#define DELIVER	signal = false
#else
#define signal	false
#define DELIVER	skip
#endif

#ifdef PUMP
/* struct mzp_socket_pump, but for @asleep */
bool woken;
bool sleeps;
bool owed;
byte pumper;
byte turns;		/* of PUMP, one after the other, in which nothing has happened */
#endif

bool stopped;		/* the worker does not get to run any more */
byte runners;

#define OPEN	(state == LEFT || state == QUEUED)
#define READY	(ring > 0 || OPEN || failed)
#ifdef PUMP
#define HAPPENED	turns = (_pid == pumper -> turns : 0)
#else
#define HAPPENED	skip
#endif
#define RUN	runners++; assert(runners == 1 && !queued); state = RUNNING; HAPPENED

/* mzp_channel_wake() */
inline wake()
{
	atomic {
		if
#ifdef PUMP
		:: hooked -> woken = true; HAPPENED;
			if
			:: sleeps -> asleep = false
			:: else
			fi
#else
		:: hooked -> asleep = false
#endif
		:: else
		fi
	}
}

/* mzp_claim_for_worker(): what it reads may be old already when it returns */
#define FOR_WORKER	(up && (!waiting || ring > 0))

/* mzp_runqueue_add(), by who runs it */
inline runqueue_add(ok)
{
	atomic {
		if
		:: up -> assert(!queued && runners == 1);
			queued = true; state = QUEUED; runners--; ok = true
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
inline pass_on(ok)
{
	ok = (state == LEFT && !needs_reader && FOR_WORKER);
	if
	:: ok -> claim_take(ok)
	:: else
	fi
}

/* mzp_claim_take_or_kick() */
inline take_or_kick(ok)
{
#ifdef WITHOUT_KICK_AT_END
	claim_take(ok)
#else
	atomic {
		if
		:: state == RUNNING || state == KICKED -> state = KICKED; ok = false
		:: else -> claim_take(ok)
		fi
	};
	if
	:: ok
	:: else -> wake()
	fi
#endif
}

/*
 * mzp_claim_release(), whose mzp_claim_take_left() and mzp_channel_let_go() take the
 * channel again.
 */
inline claim_release(result, ok)
{
	do
	:: atomic {
#ifndef WITHOUT_NEED
		needs_reader = (result == NEEDS_READER);
#endif
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
	   :: ok -> break
	   :: !ok && result == SOME ->
		if
		:: FOR_WORKER -> runqueue_add(ok)
		:: else
		fi
	   :: else
	   fi;
	   if
	   :: ok -> wake(); break
	   :: else -> atomic { state = LEFT; runners-- }
	   fi;
	   if
#ifndef WITHOUT_END_AT_LEAVE
	   :: failed ->
		take_or_kick(ok);
		if
		:: ok -> job = false; drain(ok); wake(); result = NOTHING
		:: else -> drain(ok); wake(); break
		fi
#endif
	   :: else ->
#ifdef WITHOUT_LOOK_AT_LEAVE
		ok = false;
#else
		pass_on(ok);
#endif
		if
		:: ok -> result = SOME
		:: else ->
#ifndef WITHOUT_WAKE_AT_LEAVE
			wake();
#endif
			break
		fi
	   fi
	od
}

/* mzp_claim_kick() */
inline claim_kick(result, ok)
{
	ok = false;
	do
	:: atomic { state == QUEUED || state == KICKED -> ok = false; break }
	:: atomic { state == RUNNING -> state = KICKED }; wake(); ok = false; break
	:: state == IDLE || state == LEFT ->
		if
		:: FOR_WORKER ->
			atomic {
				if
				:: state == IDLE || state == LEFT -> RUN; ok = true; break
				:: else
				fi
			}
		:: else ->
			atomic {
				if
				:: state == IDLE || state == LEFT -> state = LEFT; ok = true
				:: else -> ok = false
				fi
			};
			if
			:: ok ->
#ifdef WITHOUT_LOOK_AT_KICK
				ok = false;
#else
				pass_on(ok);
#endif
				wake(); break
			:: else
			fi
		fi
	od;
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
			:: hard -> result = NEEDS_READER
			:: else
			fi
		}
	   fi;
	   if
	   :: result == SOME ->
		job = false;
		atomic { assert(ring < SIZE); ring++; made = true }
	   :: else ->
		if
#ifdef WITHOUT_RING_FIRST
		:: reader && job ->
#else
		:: reader && job && ring == 0 ->
#endif
			/* handle_userfault(): it looks at nothing of ours */
			atomic { fault = true; asleep = true };
			if
			:: atomic { hard = false; fault = false }	/* it is there */
			:: atomic { !asleep || signal -> fault = false }
			fi
		:: reader && !job && ring == 0 ->
			/* mzp_producer_limited() */
			atomic { hooked = true; asleep = true };
			do
			:: state == KICKED || failed -> break
			:: else ->
				if
				:: atomic { !asleep -> asleep = true }
				:: atomic { signal -> break }
				fi
			od;
			atomic { hooked = false; asleep = false }
		:: else -> break
		fi;
		if
		:: signal -> break
		:: else -> result = SOME
		fi
	   fi;
	   /* mzp_producer_over() */
	   if
	   :: !reader || made || signal -> break
	   :: !(reader && signal)
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

/* SEND; with @limit, then the rate is lifted */
proctype sender(byte nr; bool limit)
{
	mtype result;
	bool ok;

	do
	:: nr > 0 -> atomic { nr--; pages++ }; claim_kick(result, ok)
#ifdef RATE
	:: nr == 0 && limit -> atomic { limit = false; limited = false }; claim_kick(result, ok)
#endif
	:: else -> break
	od
}

/* mzp_worker_fn() */
proctype worker()
{
	mtype result;
	bool made, ok;

end:	do
	:: queued ->
		runqueue_remove(ok);
		if
		:: ok -> producer_run(false, result, made, ok); claim_release(result, ok)
		:: else
		fi;
		atomic { result = 0; made = false; ok = false }
	:: atomic { stopped = true; break }
	od
}

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
	up = true;
#ifndef WITHOUT_KICK_AT_OPEN
	claim_kick(result, ok)
#endif
}

#ifdef STOP
/* mzp_session_stop(), and mzp_session_rouse_fn() */
proctype stop()
{
	mtype result;
	bool ok;

	failed = true;
#ifdef WITHOUT_STOP
	ok = false;
#else
	take_or_kick(ok);
#endif
	if
	:: ok -> job = false; drain(ok); wake(); result = NOTHING; claim_release(result, ok)
	:: else -> drain(ok); wake()
	fi;
#ifdef WITHOUT_REPETITION
	if
	:: noted -> asleep = false
	:: else
	fi
#else
end:	do
	:: atomic { noted && asleep -> asleep = false }
	od
#endif
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

/* mzp_claim_wait_end() */
inline wait_end(result, ok)
{
	waiting--;
#ifndef WITHOUT_LOOK_AT_WAIT_END
	if
	:: comes -> ok = false
	:: else ->
		pass_on(ok);
		if
		:: ok -> result = SOME; claim_release(result, ok)
		:: else
		fi
	fi
#endif
}

/* read(2), time and again: mzp_file_read_iter(), mzp_reader_fill(), mzp_reader_wait() */
proctype reader()
{
	mtype result;
	bool made, ok, err, comes;

	do
	:: atomic { gone = true; break }
	:: LOCK;
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
		channel_unlock(ok);
		do
		:: reader_produce(result, made, ok);
		   if
		   :: ring > 0 || failed -> break
		   :: else
		   fi;
		   if
		   :: ok && result != NOTHING ->
			atomic { err = signal; DELIVER; break }
		   :: else
		   fi;
#ifndef POLL
		   waiting++;
#endif
		   do
		   :: atomic { hooked = true; asleep = true };
		      if
#ifdef WITHOUT_OPEN
		      :: ring > 0 || failed -> break
#else
		      :: READY -> break
#endif
		      :: else ->
end:			if
			:: atomic { !asleep }
			:: atomic { signal -> err = true; DELIVER; break }
			fi
		      fi
		   od;
		   atomic { hooked = false; asleep = false };
		   comes = !err && ring == 0;
#ifndef POLL
		   wait_end(result, ok);
#endif
		   if
		   :: err || ring > 0 || failed -> break
		   :: else -> atomic { result = 0; made = false; ok = false; comes = false }
		   fi
		od;
		atomic { result = 0; made = false; ok = false; err = false; comes = false }
	   fi
	od
}

#ifdef PUMP
/* PUMP, which others end: mzp_socket_run() */
proctype pump()
{
	mtype result;
	bool made, ok, comes;

	hooked = true;
	do
	:: break	/* a signal, @max, a socket that fails */
	:: atomic { woken = false; turns++; assert(turns < 4) };
	   LOCK;
	   if
	   :: failed -> channel_unlock(ok); break
	   :: !failed && ring > 0 ->
		do
		:: ring > 0 -> ring_release(ok); turns = 0;
			if
			:: ok -> owed = true
			:: else
			fi
		:: turns = 0; break	/* the socket is full */
		od;
		channel_unlock(ok);
		if
		:: ring > 0 && owed -> owed = false; claim_kick(result, ok)
		:: else
		fi
	   :: !failed && ring == 0 ->
		channel_unlock(ok);
		reader_produce(result, made, ok);
#ifndef WITHOUT_SETTLING
		if
		:: !ok && owed -> claim_kick(result, ok); result = NOTHING
		:: !ok && !owed -> result = NOTHING
		:: else
		fi;
#endif
		owed = false;
		if
		:: result == NOTHING && ring == 0 && !failed ->
			waiting++;
			if
			:: READY
			:: else ->
				atomic { asleep = true; sleeps = true };
				if
				:: woken
				:: else ->
end:					if
					:: !asleep
					:: signal
					fi
				fi;
				atomic { sleeps = false; asleep = false }
			fi;
			comes = !signal && ring == 0;
			wait_end(result, ok)
		:: else
		fi
	   fi;
	   atomic { result = 0; made = false; ok = false; comes = false }
	od;
	hooked = false;
	if
	:: owed -> claim_kick(result, ok)
	:: else
	fi;
#ifndef WITHOUT_LOOK_AT_PUMP_END
	pass_on(ok);
	if
	:: ok -> result = SOME; claim_release(result, ok)
	:: else
	fi;
#endif
	gone = true
}
#endif

active proctype monitor()
{
	atomic {
#ifdef RATE
		run sender(FIRST, true);
#else
		run sender(FIRST, false);
#endif
		run sender(SECOND, false);
#ifndef NO_WORKERS
		run worker();
#endif
#ifdef REST
		run rest();
#endif
#ifdef STOP
		run stop();
#endif
#ifdef SIGNAL
		run interrupt();
#endif
#ifdef PUMP
		pumper = run pump()
#else
		run reader()
#endif
	}
	timeout ->	/* nobody can go on */
	assert(queued == (state == QUEUED));
	assert(runners == 0);
	/* no reader sleeps though there is something for it */
	assert(gone || (ring == 0 && pages == 0 && !job));
	/* what can be done without a reader is done */
	assert(!gone || failed || ring == SIZE || (pages == 0 && !job) ||
	       (state == QUEUED && stopped) || (state == LEFT && (needs_reader || !up)));
	/* nothing is held any more when it is over */
	assert(!failed || (gone && !job && ring == 0) || (state == QUEUED && stopped))
}
