# SPDX-License-Identifier: GPL-2.0-or-later
#
# InterMezzo. Products go to $(B) only.
#
#   make            programs, BPF objects, tests
#   make demo       a live replication to watch (sets the machine up; root)
#   make check      all tests of CI: unit, flow, guests (sets up; root)
#   make unit       unit tests (no root)
#   make flow       two and more real daemons on this host (root)
#   make vm-6.1 vm-6.12 vm-7   one guest kernel's tests
#   make big        a directory of 1,000,000 files (root, minutes; not in check)
#   make mutants    breaks one rule after the other: a test must notice (root)
#   make torture MINUTES=n KERNEL=6.1   random work in a guest for so long
#   make crash N=n KERNEL=6.1   kills, cut links, power cuts; a minute each or two
#   make bench      all benchmarks of bench/
#   make pairs      all sequences of two operations (KERNEL=6.1 FS=, an hour each)
#   make stress     other people's stress tests inside a fileset (KERNEL=6.1)
#   make coverage   every way to change a tree, on all kernels: docs/coverage.md
#   make install    to $(DESTDIR)$(prefix)
#   make setup      only the packages and guest kernels
#   make clean
#
# Variables: B= build folder, V=1 shows commands, SAN=address,undefined or
# thread builds with sanitizers (into $(B)-$(SAN)), MUTANTS= some of them.

include version.mk

, := ,
B ?= build
SAN ?=
ifneq ($(SAN),)
override B := $(B)-$(subst $(,),-,$(SAN))
endif
prefix ?= /usr
sbindir ?= $(prefix)/sbin
mandir ?= $(prefix)/share/man
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

PKGS := libbpf liburing inih libxxhash lmdb json-c libsystemd smartcols
CPPFLAGS += -Iinclude -I. -I$(B) -I$(B)/bpf -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-DVERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wno-unused-parameter -pthread \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LDFLAGS += -pthread $(if $(SAN),-fsanitize=$(SAN))
LIBS := -lbpf -luring -linih -lxxhash -llmdb -ljson-c -lsystemd -lsmartcols

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all demo check coverage stress pairs unit flow bench install setup clean vm-% big tools mutants torture crash

obj = $(patsubst %.c,$(B)/%.o,$(1))

LIB_O := $(call obj,$(wildcard lib/*.c))
LENTO_C := $(filter-out lento/main.c,$(wildcard lento/*.c))
LENTO_O := $(call obj,$(LENTO_C))
INCONFIG_O := $(call obj,$(wildcard inconfig/*.c))
UNIT_T := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
SKELS := $(patsubst %.bpf.c,$(B)/%.skel.h,$(wildcard bpf/*.bpf.c vmtests/*.bpf.c))

PROGRAMS := $(B)/lento/lento $(B)/inconfig/inconfig
TESTS := $(B)/tests/treecmp $(B)/tests/fswork $(B)/tests/seqwork $(UNIT_T)
TESTS += $(B)/tests/routes/routes
# Programs of the flow and guest tests.
TESTS += $(B)/tests/lento-scripted $(B)/tests/flow/say
TESTS += $(addprefix $(B)/tests/flow/,badpeer applytest fidtest outtest nasty)
TESTS += $(B)/vmtests/captest $(B)/vmtests/opcount
TESTS += $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))

MANS := $(patsubst man/%.scd,$(B)/man/%,$(wildcard man/*.scd))

all: $(PROGRAMS) $(TESTS) $(MANS)

# What flow and guest tests run.
tools: $(PROGRAMS) $(filter-out $(UNIT_T) $(B)/bench/%,$(TESTS))

$(B)/man/%: man/%.scd
	$(call say,MAN,$@)mkdir -p $(@D) && scdoc < $< > $@

# Everything of lento but main: a program takes from it what it uses.
LENTO_A := $(B)/lento/lento.a
LIB_A := $(B)/lib/lib.a
$(LENTO_A): $(LENTO_O)
$(LIB_A): $(LIB_O)
$(LENTO_A) $(LIB_A):
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(B)/lento/lento: $(B)/lento/main.o $(LENTO_A) $(LIB_A)
$(B)/inconfig/inconfig: $(INCONFIG_O) $(LENTO_A) $(LIB_A)
$(B)/tests/treecmp: $(call obj,$(wildcard tests/treecmp*.c))
$(B)/tests/routes/routes: $(call obj,$(wildcard tests/routes/*.c))
$(B)/tests/routes/routes: LIBS += -lz
$(B)/tests/fswork: $(call obj,$(wildcard tests/fswork*.c) tests/worklib.c)
$(B)/tests/seqwork: $(call obj,$(wildcard tests/seqwork*.c) tests/worklib.c)
$(B)/tests/lento-scripted: $(B)/tests/flow/main_scripted.o \
	$(call obj,$(wildcard tests/flow/capture_script*.c tests/flow/recmake*.c)) $(LENTO_A) $(LIB_A)
$(B)/tests/flow/applytest: $(call obj,$(wildcard tests/flow/applytest*.c tests/flow/recmake*.c)) \
	$(LENTO_A) $(LIB_A)
$(B)/tests/flow/say: $(B)/tests/flow/say.o
$(B)/tests/flow/nasty: $(B)/tests/flow/nasty.o
$(B)/tests/flow/badpeer: $(B)/tests/flow/badpeer.o $(LENTO_A) $(LIB_A)
$(B)/tests/flow/fidtest: $(B)/tests/flow/fidtest.o $(LIB_A)
$(B)/tests/flow/outtest: $(B)/tests/flow/outtest.o $(LENTO_A) $(LIB_A)
$(B)/vmtests/captest: $(call obj,$(wildcard vmtests/captest*.c)) $(LENTO_A) $(LIB_A)
$(B)/vmtests/opcount: $(B)/vmtests/opcount.o
$(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c)): $(B)/bench/%: $(B)/bench/%.o $(LENTO_A) $(LIB_A)
$(UNIT_T): $(B)/tests/unit/%: $(B)/tests/unit/%.o $(LENTO_A) $(LIB_A)
$(UNIT_T): LIBS += -lcmocka

$(PROGRAMS) $(TESTS):
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(B)/%.o: %.c | $(SKELS)
	$(call say,CC,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/tests/flow/main_scripted.o: lento/main.c | $(SKELS)
	$(call say,CC,$@)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) -DLENTO_SCRIPTED -MMD -MP -c -o $@ $<

$(B)/%.bpf.o: %.bpf.c
	$(call say,BPF,$@)mkdir -p $(@D) && $(CLANG) -g -O2 -target bpf -D__TARGET_ARCH_x86 \
		-Wall -Wno-unused-function -Iinclude -I. -I/usr/include/$(shell $(CC) -print-multiarch) \
		-MMD -MP -c -o $@ $<
$(B)/%.skel.h: $(B)/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $(notdir $*)_bpf > $@

setup:
	$(Q)tests/setup vm

unit flow: all
	$(Q)B=$(abspath $(B)) tests/check $@
vm-%: all
	$(Q)B=$(abspath $(B)) vmtests/run $*
mutants:
	$(Q)tests/setup vm
	$(Q)tests/mutants/run $(MUTANTS)

check:
	$(Q)tests/setup vm
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(abspath $(B)) tests/check
# What a round is about when the time is over is brought to its end.
torture: MINUTES ?= 10
torture: KERNEL ?= 6.1
torture:
	$(Q)tests/setup vm
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(abspath $(B)) OUT=$(abspath $(B))/torture LIMIT=$$(($(MINUTES) * 60 + 1800)) \
		vmtests/run $(KERNEL) -- vmtests/torture $(MINUTES)
crash:
	$(Q)tests/setup vm
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(abspath $(B)) tests/crash $(or $(N),30) $(or $(KERNEL),6.1)
demo:
	$(Q)tests/setup vm
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(abspath $(B)) tests/demo
big: all
	$(Q)B=$(abspath $(B)) tests/big
bench:
	$(Q)tests/setup bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(abspath $(B)) bench/run

coverage:
	$(Q)tests/setup vm
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(abspath $(B)) tests/coverage

pairs:
	$(Q)tests/setup vm
	$(Q)$(MAKE) --no-print-directory all
	$(Q)IZO_ALL=1 IZO_FS="$(or $(FS),ext4 xfs btrfs)" B=$(abspath $(B)) LIMIT=20000 \
		vmtests/run $(or $(KERNEL),6.1) -- vmtests/45-sequences

stress:
	$(Q)tests/setup stress
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(abspath $(B)) DISKSIZE=4G MEM=3G vmtests/run $(or $(KERNEL),6.1) stress

install: $(PROGRAMS) $(MANS)
	install -D -m 755 $(B)/lento/lento $(DESTDIR)$(sbindir)/lento
	install -D -m 755 $(B)/inconfig/inconfig $(DESTDIR)$(sbindir)/inconfig
	for m in $(MANS); do install -D -m 644 $$m \
		$(DESTDIR)$(mandir)/man$${m##*.}/$${m##*/}; done

clean:
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
