/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h: one line an event, to stderr (journald adds time and priority from
 * the <N> prefix when stderr is its stream). Programs log, libraries do not;
 * whoever decides logs, once, and names the fileset, the peer and the path.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

enum log_level { LOG_L_ERR = 3, LOG_L_WARN = 4, LOG_L_INFO = 6, LOG_L_DEBUG = 7 };

void log_init(const char *program, enum log_level most);
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_err(...)	log_line(LOG_L_ERR, __VA_ARGS__)
#define log_warn(...)	log_line(LOG_L_WARN, __VA_ARGS__)
#define log_info(...)	log_line(LOG_L_INFO, __VA_ARGS__)
#define log_debug(...)	log_line(LOG_L_DEBUG, __VA_ARGS__)

#endif
