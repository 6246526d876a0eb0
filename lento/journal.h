/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal.h: a fileset's KML. Records enter sealed in order; readers take them
 * from any retained sequence on. Segments are preallocated, zero-written and
 * overwritten in place (RWF_DSYNC: no allocation and no metadata commit); a
 * commit begins with an IZO_PAD record that says how long it is and fills whole
 * blocks. See journal_segment.h for the layout.
 *
 * What must always hold: a reader never sees an uncommitted record; after a
 * crash the journal ends at the last whole commit; a flipped bit inside the
 * committed part is an error that names file and offset, never a short journal.
 *
 * One appender thread; readers in any thread; trim from any thread.
 */
#ifndef LENTO_JOURNAL_H
#define LENTO_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "intermezzo/record.h"

struct journal;
struct journal_reader;

struct journal_options {
	uint32_t segment_bytes;		/* 0: 64 MiB; multiple of 4096 */
	bool read_only;			/* inconfig log: takes no lock */
};

/* Opens or creates the journal in the directory dir_fd (duplicated, not taken).
 * A new one gets a random epoch. 0 with err empty, or saying that a torn tail
 * was cut; or -errno and err has one line naming file and offset: -EBUSY
 * another process appends, -EBADMSG corrupt, -EPROTONOSUPPORT a newer version,
 * -ENOENT (read only) no journal. uuid NULL: any, read only. Read only, nothing
 * but the headers must be in order: readers report the rest. */
int journal_open(int dir_fd, const unsigned char uuid[16],
		 const struct journal_options *options, struct journal **ret,
		 char *err, size_t err_size);
/* After the readers. Appended records that were not committed are dropped. */
void journal_close(struct journal *j);

/* Seals r (seq, sum, chain) and puts it into the current commit; one that would
 * pass 256 KiB is committed first. -EINVAL: record_check() fails; otherwise the
 * error of that commit, r is untouched and the call may be repeated. */
int journal_append(struct journal *j, struct izo_record *r);
/* Makes all appended records durable and visible to readers. After an error
 * nothing is lost nor visible: it may be called again. */
int journal_commit(struct journal *j);

/* Last committed record; seq 0 when empty. */
void journal_end(struct journal *j, struct izo_pos *ret);
uint64_t journal_first_seq(struct journal *j);	/* oldest retained record */
uint64_t journal_bytes(struct journal *j);	/* retained, for status */

/* Is pos a position of this journal from which a reader can start (pos.seq + 1
 * is retained or is the next one to come, epoch and chain match)? 0;
 * -ESTALE: other epoch or chain, or already trimmed. */
int journal_check(struct journal *j, const struct izo_pos *pos);

/* Segments whose last record is <= seq may be reused. */
int journal_trim(struct journal *j, uint64_t seq);

/* New random epoch (an unclean start, a gap), durably; commits what is pending.
 * Sequence and chain go on. Appender only. */
int journal_new_epoch(struct journal *j);

/* A reader whose next record is seq (first_seq <= seq <= end + 1; read only, any
 * later one too). -ESTALE: trimmed away; -EINVAL: beyond the end. */
int journal_reader_new(struct journal *j, uint64_t seq, struct journal_reader **ret);
/* Next committed record other than PAD, valid until the next call. 1; 0: at the
 * end for now; -errno (-EBADMSG corrupt, -ESTALE trimmed away). */
int journal_reader_next(struct journal_reader *r, const struct izo_record **ret);
/* After an error other than -ESTALE: one line naming file and offset. */
const char *journal_reader_error(const struct journal_reader *r);
void journal_reader_free(struct journal_reader *r);

#endif
