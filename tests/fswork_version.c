// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fswork_version: a file content that proves its own version.
 *
 * 128 bytes of header: one text line with version, writer, length of the whole
 * file and a checksum of the line, padded with dots; then a body in which
 * every 8-byte word follows from version, writer and place. A mixture of two
 * versions, a shortened file and a block of zeros are all noticed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "fswork.h"

#define LINE_FORMAT "fswork version %020" PRIu64 " writer %u length %" PRIu64

static uint64_t body_word(const struct version *version, size_t at)
{
	return mix64(mix64(version->version * 1000 + version->writer) ^ at);
}

static int header_fill(char header[VERSION_HEADER],
		       const struct version *version)
{
	int len = snprintf(header, VERSION_HEADER, LINE_FORMAT,
			   version->version, version->writer, version->length);

	len += snprintf(header + len, VERSION_HEADER - len, " check %016llx\n",
			(unsigned long long)XXH3_64bits(header, len));
	memset(header + len, '.', VERSION_HEADER - len);
	header[VERSION_HEADER - 1] = '\n';
	return len;
}

void version_fill(unsigned char *buf, const struct version *version)
{
	char header[VERSION_HEADER];

	header_fill(header, version);
	memcpy(buf, header, sizeof(header));
	for (size_t at = VERSION_HEADER; at < version->length; at += 8) {
		uint64_t word = body_word(version, at);
		size_t left = version->length - at;

		memcpy(buf + at, &word, left < 8 ? left : 8);
	}
}

int version_header(const unsigned char *buf, size_t len, struct version *ret)
{
	char header[VERSION_HEADER], text[VERSION_HEADER + 1];
	struct version version;

	if (len < VERSION_HEADER)
		return -1;
	memcpy(text, buf, VERSION_HEADER);
	text[VERSION_HEADER] = '\0';
	if (sscanf(text, "fswork version %" SCNu64 " writer %u length %" SCNu64,
		   &version.version, &version.writer, &version.length) != 3)
		return -1;
	header_fill(header, &version);
	if (memcmp(header, buf, VERSION_HEADER))
		return -1;
	*ret = version;
	return 0;
}

int version_check(const unsigned char *buf, size_t len, struct version *ret,
		  char *why, size_t why_size)
{
	if (version_header(buf, len, ret)) {
		snprintf(why, why_size, "no valid header in %zu bytes", len);
		return -1;
	}
	if (ret->length != len) {
		snprintf(why, why_size,
			 "version %" PRIu64 " has %zu bytes of %" PRIu64,
			 ret->version, len, ret->length);
		return -1;
	}
	for (size_t at = VERSION_HEADER; at < len; at += 8) {
		uint64_t word = body_word(ret, at);

		if (memcmp(buf + at, &word, len - at < 8 ? len - at : 8)) {
			snprintf(why, why_size,
				 "version %" PRIu64 " of %zu bytes: body wrong in the 8 bytes at %zu",
				 ret->version, len, at);
			return -1;
		}
	}
	return 0;
}
