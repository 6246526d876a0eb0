/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire.h: what two lentos say to each other. A frame is a header and a payload;
 * payloads are the structs below, records (record.h) or file bytes. The side
 * that holds a fileset's journal is its source, the other its replica.
 *
 *   replica                               source
 *   HELLO  ------------------------------>        versions, name
 *          <------------------------------ HELLO
 *   ATTACH {uuid, position, mode, base} ->        for each fileset of both
 *          <------------------------------ ATTACHED {mode, tip, root FID} | REFUSED
 *
 *   mode FILL or RESYNC: the replica asks, in any order, several at a time:
 *   LIST {fid} -------------------------->
 *          <------------ ENTRIES records... (flag LAST on the last frame)
 *   WANT {fid, digest of what is there} ->
 *          <------------ DATA / HOLE ... DATA_END {ok | same | gone}
 *   and when nothing is left to ask:  STREAM {position of ATTACHED} ->
 *
 *   mode STREAM:
 *          <------------ BATCH {last position, tip}
 *          <------------ DATA / HOLE / DATA_END of every inode that is due in
 *                        this batch; BATCH again when the batch has grown, then
 *                        what is due by that, and so on
 *          <------------ HOLLOW fids that must not be seen; WITHHOLD the names
 *                        at which they stand
 *          <------------ RECORDS ...  BATCH_END
 *   ACK {applied, durable} -------------->        LIST and WANT may come too
 *
 * Everything in one direction of one fileset is in order, but for answers to
 * LIST and WANT (flag ANSWER), which carry their `ask` number and overtake.
 * The source has at most the window's bytes of unanswered BATCH frames under
 * way; CREDIT gives bytes back as the replica consumes them.
 *
 * On the wire every frame is padded with zeros to a multiple of WIRE_ALIGN,
 * which `len` does not count: header and payload lie aligned in the receive
 * buffer and are used where they lie.
 */
#ifndef LENTO_WIRE_H
#define LENTO_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "intermezzo/record.h"

#define WIRE_VERSION_MAJOR	1	/* differs: refused */
#define WIRE_VERSION_MINOR	0	/* the lower of both counts */
#define WIRE_MAGIC		0x575a4f49u	/* "IOZW" */
#define WIRE_PAYLOAD_MAX	(1u << 20)
#define WIRE_DATA_MAX		(256u << 10)	/* file bytes in one DATA */
#define WIRE_WINDOW_BYTES	(8u << 20)
#define WIRE_NAME_MAX		63
#define WIRE_TEXT_MAX		1024	/* BYE, REFUSED */
#define WIRE_ALIGN		8

enum wire_type {
	WIRE_NONE	= 0,
	WIRE_HELLO	= 1,
	WIRE_PING	= 2,	/* no payload; answered by PONG */
	WIRE_PONG	= 3,
	WIRE_BYE	= 4,	/* payload: text why */
	WIRE_ATTACH	= 5,
	WIRE_ATTACHED	= 6,
	WIRE_REFUSED	= 7,	/* payload: text why */
	WIRE_LIST	= 8,
	WIRE_ENTRIES	= 9,	/* wire_answer, then records */
	WIRE_WANT	= 10,
	WIRE_STREAM	= 11,
	WIRE_BATCH	= 12,
	WIRE_HOLLOW	= 13,	/* struct izo_fid[] */
	WIRE_DATA	= 14,	/* wire_data, then bytes */
	WIRE_HOLE	= 15,	/* wire_data without bytes */
	WIRE_DATA_END	= 16,
	WIRE_RECORDS	= 17,	/* records, sealed, back to back */
	WIRE_BATCH_END	= 18,	/* struct izo_pos: equal to the last BATCH's */
	WIRE_ACK	= 19,
	WIRE_CREDIT	= 20,	/* le64 bytes consumed (flag ANSWER: of answers,
				 * which have a window of their own) */
	WIRE_WITHHOLD	= 21,	/* an UNLINK record, unsealed: obj, dir, name */
	WIRE_TYPE_MAX
};

#define WIRE_F_LAST	0x0001	/* the answer's last frame */
#define WIRE_F_ANSWER	0x0002	/* belongs to an ask: overtakes */

struct wire_header {
	izo_le32 len;		/* payload bytes, <= WIRE_PAYLOAD_MAX */
	izo_le16 type;
	izo_le16 flags;
	izo_le16 channel;	/* the fileset's number on this link; 0: the link */
	izo_le16 zero;
	izo_le32 sum;		/* low 32 bits of XXH3-64 of the payload, seeded
				 * with len, type, flags and channel */
};

struct wire_hello {
	izo_le32 magic;
	izo_le16 major, minor;
	izo_le64 incompat;	/* a bit the other does not know: refused */
	izo_le64 compat;
	char name[WIRE_NAME_MAX + 1];
};

enum wire_mode { WIRE_MODE_NONE, WIRE_MODE_FILL, WIRE_MODE_STREAM };

struct wire_attach {
	unsigned char uuid[16];
	struct izo_pos pos;	/* last border durably applied; seq 0, epoch 0: none */
	izo_le32 mode;		/* FILL goes on with an unfinished fill */
	izo_le32 zero;
	char name[WIRE_NAME_MAX + 1];	/* the fileset's, for messages */
	struct izo_pos base;	/* FILL: all contents here are at least as new as this
				 * border; epoch 0: none */
};

struct wire_attached {
	izo_le32 mode;		/* FILL: position unknown here, fill from scratch
				 * (or go on, if the replica's fill is of `pos`) */
	izo_le32 zero;
	struct izo_pos pos;	/* FILL: where the stream will start */
	izo_le64 tip;		/* newest journal sequence */
	struct izo_fid root;
};

/* fid is a directory: its ENTRY (no name), then one of each child. Anything
 * else: its ENTRY alone. Gone: no record at all. */
struct wire_list {
	izo_le64 ask;
	struct izo_fid fid;
};

struct wire_want {
	izo_le64 ask;
	struct izo_fid fid;
	izo_le64 have_size;	/* ~0: nothing there, send all */
	unsigned char have_digest[16];	/* of these bytes, lib/digest.h */
};

struct wire_answer {
	izo_le64 ask;		/* 0: not an answer (a batch) */
};

struct wire_data {
	izo_le64 ask;
	struct izo_fid fid;
	izo_le64 off, len;
};

enum wire_data_status { WIRE_DATA_OK, WIRE_DATA_SAME, WIRE_DATA_GONE };

/* After it: size and mtime of fid are these. In a batch they are at least as
 * new as the batch's end: records of the batch leave them alone. */
struct wire_data_end {
	izo_le64 ask;
	struct izo_fid fid;
	izo_le64 size;
	struct izo_time mtime, atime;
	izo_le32 status;
	izo_le32 zero;
};

struct wire_batch {
	struct izo_pos last;	/* of the border that ends the batch */
	izo_le64 first_seq;
	izo_le64 tip;		/* newest journal sequence, for the lag */
	izo_le64 tip_clock_ns;	/* age of the batch's last record, ns */
};

struct wire_stream {
	struct izo_pos pos;	/* send what comes after it */
};

struct wire_ack {
	struct izo_pos applied;	/* last border applied */
	struct izo_pos durable;	/* last border that a power cut keeps */
	izo_le32 state;		/* enum fs_state of the replica */
	izo_le32 zero;
};

/* Payload and padding of a frame that follow its header. */
static inline size_t wire_padded(size_t len)
{
	return (len + WIRE_ALIGN - 1) & ~(size_t)(WIRE_ALIGN - 1);
}

/* Before anything is allocated: type, length for that type, flags, channel. 0,
 * or -EBADMSG with *ret_why set to a static text. */
int wire_check_header(const struct wire_header *h, const char **ret_why);
/* Sum, and the lengths inside the payload. As above. */
int wire_check_payload(const struct wire_header *h, const void *payload,
		       const char **ret_why);
/* Fills h for that payload. 0, -EMSGSIZE: not a length of that type. */
int wire_header_init(struct wire_header *h, enum wire_type type, unsigned flags,
		     unsigned channel, const struct iovec *iov, int n);
const char *wire_type_name(unsigned type);	/* "BATCH"; "?" if unknown */

/* The states of design.md section 8, one order for peers and tools. */
enum fs_state {
	FS_STOPPED, FS_DISCONNECTED, FS_FILL, FS_RESYNC, FS_RECOVERY,
	FS_SYNCING, FS_SYNCED, FS_CONFLICT, FS_SUSPECT,
};

#endif
