/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * barrier.h: a moment at which no operation of the filesystem is under way.
 *
 * Freezing waits for every operation that began before the capture programs
 * were attached, and cleans every page, so that a store through an old mapping
 * is seen as well. What must always hold: whoever dies, it is thawed again.
 */
#ifndef LENTO_BARRIER_H
#define LENTO_BARRIER_H

/* dir_fd: a directory of the mount (O_PATH will do). 0: frozen and thawed;
 * -errno: it was not possible, a syncfs was done in its place. */
int barrier_cross(int dir_fd);
/* After an arming that was cut: a control group that is killed whole takes the
 * helper along, perhaps between freeze and thaw. */
void barrier_undo(int dir_fd);

#endif
