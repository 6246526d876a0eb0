# SPDX-License-Identifier: GPL-2.0-or-later
# randops.awk: -v seed=S -v n=N: random lines for a scripted capture source, over
# few names in a few directories, so that they collide. Not every line will
# succeed: use `say -k`. -v out=DIR: as many there, outside of the fileset, and
# across its border.
function one(list,   a, k) { k = split(list, a, " "); return a[int(rand() * k) + 1] }
# A path, or the same below `out`.
function pick(list) { return (out != "" && rand() < .4 ? out "/" : "") one(list) }
function dir() { return pick(". . d1 d2 d1/e") }
function name() { return dir() "/" one("a b c d") }
BEGIN {
	srand(seed)
	if (out != "") { print "mkdir " out "/d1 0755"; print "mkdir " out "/d2 0755" }
	print "mkdir d1 0755"; print "mkdir d2 0700"; print "mkdir d1/e 0755"
	for (i = 0; i < n; i++) {
		op = int(rand() * 24); p = name()
		if (op < 3) print "create " p " 0644"
		else if (op == 3) print "mkdir " pick("d1 d2 d1/e d1/a d2/b") " 0755"
		else if (op == 4) print "symlink " p " t" i
		else if (op == 5) print "link " p " " name()
		else if (op < 8) print "unlink " p
		else if (op == 8) print "rmdir " pick("d1 d2 d1/e d1/a d2/b")
		else if (op < 12) print "rename " p " " name() " " one("0 0 0 1 2")
		else if (op == 12) print "rename " pick("d1 d2 d1/e d1/a") " " pick("d1 d2 d1/e d2/x") " 0"
		else if (op == 13) print "chmod " p " " one("0600 0644 0755 04755")
		else if (op == 14) print "chown " p " " int(rand() * 9) " " int(rand() * 9)
		else if (op == 15) print "utimens " p " " int(rand() * 99999) " 5"
		else if (op == 16) print "setxattr " p " user.k" int(rand() * 3) " v" i
		else if (op == 17) print "removexattr " p " user.k" int(rand() * 3)
		else if (op == 18) print "truncate " p " " int(rand() * 20000)
		else if (op < 22) {
			print "write " p " " int(rand() * 20000) " " int(rand() * 6000) + 1 " " one("x y z")
			if (rand() < .7) print "close " p
		}
		else if (op == 22) print "fsync " p
		else { print "tmpfile " pick(". d1 d2") " 0640"; print "linktmp " p }
	}
}
