/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* maker.c - two lists behind one lock: jobs to do, and what became of them. */
#include "unwind/maker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct job {
	int fd; /* -1: done */
	struct made_table made;
	struct job *next;
};

struct list {
	struct job *head, **tail;
};

struct maker {
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a job came, one was done, or it is time to stop */
	struct list jobs, results;
	size_t open_cnt; /* jobs whose result is not in results yet */
	bool is_stopping, is_hurried;
	int event_fd;
};

static void list_add(struct list *l, struct job *j)
{
	j->next = NULL;
	*l->tail = j;
	l->tail = &j->next;
}

static struct job *list_take(struct list *l)
{
	struct job *j = l->head;

	if (!j)
		return NULL;
	l->head = j->next;
	if (!l->head)
		l->tail = &l->head;
	return j;
}

static uint64_t cpu_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return timespec_ns(&t);
}

static void job_do(struct job *j)
{
	uint64_t start_ns = cpu_now_ns();

	j->made.err = unwind_table_read(j->fd, &j->made.table);
	j->made.cpu_ns = cpu_now_ns() - start_ns;
	close(j->fd);
	j->fd = -1;
}

static void *maker_run(void *arg)
{
	struct maker *m = arg;
	struct job *j;

	pthread_mutex_lock(&m->lock);
	while (!m->is_stopping) {
		if (m->is_hurried)
			setpriority(PRIO_PROCESS, 0, HURRY_NICE); /* of this thread alone */
		m->is_hurried = false;
		j = list_take(&m->jobs);
		if (!j) {
			pthread_cond_wait(&m->changed, &m->lock);
			continue;
		}
		pthread_mutex_unlock(&m->lock);
		job_do(j);
		pthread_mutex_lock(&m->lock);
		list_add(&m->results, j);
		m->open_cnt--;
		pthread_cond_broadcast(&m->changed);
		eventfd_write(m->event_fd, 1);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* Signals are for the thread that reads samples. */
static int thread_start(struct maker *m)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&m->thread, NULL, maker_run, m);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	m->has_thread = !err;
	return -err;
}

int maker_new(struct maker **ret)
{
	struct maker *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->jobs.tail = &m->jobs.head;
	m->results.tail = &m->results.head;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = m->event_fd < 0 ? -errno : thread_start(m);
	if (err) {
		maker_free(m);
		return err;
	}
	*ret = m;
	return 0;
}

static void list_release(struct list *l)
{
	struct job *j;

	while ((j = list_take(l))) {
		if (j->fd >= 0)
			close(j->fd);
		else if (!j->made.err)
			unwind_table_release(&j->made.table);
		free(j);
	}
}

void maker_free(struct maker *m)
{
	if (!m)
		return;
	if (m->has_thread) {
		pthread_mutex_lock(&m->lock);
		m->is_stopping = true;
		pthread_cond_broadcast(&m->changed);
		pthread_mutex_unlock(&m->lock);
		pthread_join(m->thread, NULL);
	}
	list_release(&m->jobs);
	list_release(&m->results);
	if (m->event_fd >= 0)
		close(m->event_fd);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

int maker_add(struct maker *m, uint32_t module, int fd)
{
	struct job *j = malloc(sizeof(*j));

	if (!j) {
		close(fd);
		return -ENOMEM;
	}
	*j = (struct job){ .fd = fd, .made.module = module };
	pthread_mutex_lock(&m->lock);
	list_add(&m->jobs, j);
	m->open_cnt++;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

bool maker_take(struct maker *m, bool is_waiting, struct made_table *ret)
{
	eventfd_t unused;
	struct job *j;

	pthread_mutex_lock(&m->lock);
	while (is_waiting && !m->results.head && m->open_cnt)
		pthread_cond_wait(&m->changed, &m->lock);
	j = list_take(&m->results);
	if (!j) /* drained: whatever comes later writes anew */
		eventfd_read(m->event_fd, &unused);
	pthread_mutex_unlock(&m->lock);
	if (!j)
		return false;
	*ret = j->made;
	free(j);
	return true;
}

void maker_hurry(struct maker *m)
{
	pthread_mutex_lock(&m->lock);
	m->is_hurried = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

bool maker_is_idle(struct maker *m)
{
	bool is_idle;

	pthread_mutex_lock(&m->lock);
	is_idle = !m->open_cnt;
	pthread_mutex_unlock(&m->lock);
	return is_idle;
}

int maker_fd(const struct maker *m)
{
	return m->event_fd;
}
