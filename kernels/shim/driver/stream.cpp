// Streams and events.
#include "driver.h"

#include <chrono>

namespace driver {
namespace {
constexpr size_t LONGEST = 1024;
std::set<Event*> events;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
}  // namespace

Stream* stream_of(void* handle) {
    if (handle == nullptr || handle == reinterpret_cast<void*>(1)) return current->null_stream.get();
    Stream* stream = static_cast<Stream*>(handle);
    return current->streams.count(stream) ? stream : nullptr;
}

void run_until(Stream& stream, uint64_t position) {
    while (stream.done < position) {
        const std::function<void()> work = std::move(stream.queue.front());
        stream.queue.pop_front();
        // Counted first: work that waits for another stream never comes back to itself.
        stream.done++;
        if (!stream.context->lost) work();
    }
}

void run_all(Context& context) {
    for (Stream* stream : context.streams) run_until(*stream, stream->given);
}

void give(Stream& stream, std::function<void()> work) {
    Stream* null_stream = stream.context->null_stream.get();
    const auto after = [&](Stream* other) {
        const uint64_t position = other->given;
        if (other->done >= position) return;
        stream.queue.push_back([other, position, context = stream.context] {
            if (context->streams.count(other)) run_until(*other, position);
        });
        stream.given++;
    };
    if (&stream == null_stream) {
        for (Stream* other : stream.context->streams)
            if (other->blocking && other != null_stream) after(other);
    } else if (stream.blocking) {
        after(null_stream);
    }
    stream.queue.push_back(std::move(work));
    stream.given++;
    if (settings().eager) run_until(stream, stream.given);
    else if (stream.queue.size() > LONGEST) run_until(stream, stream.given - LONGEST / 2);
}

CUresult wait(Stream& stream) {
    run_until(stream, stream.given);
    return enter();
}

}  // namespace driver

using namespace driver;
using Lock = std::lock_guard<std::recursive_mutex>;

DRIVER_API cuStreamCreate(void** out, unsigned flags) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Stream* stream = new Stream();
    stream->context = current, stream->blocking = !(flags & 1);
    current->streams.insert(stream);
    *out = stream;
    return CUDA_SUCCESS;
}
DRIVER_API cuStreamCreateWithPriority(void** out, unsigned flags, int) { return cuStreamCreate(out, flags); }

DRIVER_API cuStreamDestroy_v2(void* handle) {
    Lock lock(mutex);
    const CUresult state = enter();
    if (state && state != CUDA_ERROR_LAUNCH_FAILED) return state;
    Stream* stream = stream_of(handle);
    if (!handle || !stream) return CUDA_ERROR_INVALID_HANDLE;
    run_until(*stream, stream->given);
    for (Event* event : events)
        if (event->stream == stream) event->stream = nullptr;
    current->streams.erase(stream);
    delete stream;
    return enter();
}

DRIVER_API cuStreamSynchronize(void* handle) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Stream* stream = stream_of(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult state = wait(*stream);
    waited(*current);
    return state;
}

// A host that asks again and again must see it done in the end: each question lets one piece of work run.
DRIVER_API cuStreamQuery(void* handle) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Stream* stream = stream_of(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->done == stream->given) return CUDA_SUCCESS;
    run_until(*stream, stream->done + 1);
    return current->lost ? CUDA_ERROR_LAUNCH_FAILED : CUDA_ERROR_NOT_READY;
}

DRIVER_API cuStreamIsCapturing(void*, int* status) {
    *status = 0;
    return CUDA_SUCCESS;
}

DRIVER_API cuLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Stream* stream = stream_of(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    give(*stream, [=] { function(data); });
    return CUDA_SUCCESS;
}

DRIVER_API cuEventCreate(void** out, unsigned) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Event* event = new Event();
    event->context = current;
    events.insert(event);
    *out = event;
    return CUDA_SUCCESS;
}

DRIVER_API cuEventDestroy_v2(void* handle) {
    Lock lock(mutex);
    Event* event = static_cast<Event*>(handle);
    if (!events.erase(event)) return CUDA_ERROR_INVALID_HANDLE;
    delete event;
    return CUDA_SUCCESS;
}

DRIVER_API cuEventRecord(void* handle, void* stream_handle) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Event* event = static_cast<Event*>(handle);
    Stream* stream = stream_of(stream_handle);
    if (!events.count(event) || !stream) return CUDA_ERROR_INVALID_HANDLE;
    event->after = stream->copied_at == stream->given ? stream->copied : "";
    event->seconds = std::make_shared<double>(-1.0);
    give(*stream, [seconds = event->seconds] { *seconds = now(); });
    event->stream = stream, event->position = stream->given;
    return CUDA_SUCCESS;
}

DRIVER_API cuStreamWaitEvent(void* stream_handle, void* handle, unsigned) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Event* event = static_cast<Event*>(handle);
    Stream* stream = stream_of(stream_handle);
    if (!events.count(event) || !stream) return CUDA_ERROR_INVALID_HANDLE;
    if (event->stream)
        give(*stream, [other = event->stream, position = event->position, context = event->context] {
            if (context->streams.count(other)) run_until(*other, position);
        });
    return CUDA_SUCCESS;
}

DRIVER_API cuEventSynchronize(void* handle) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Event* event = static_cast<Event*>(handle);
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    if (event->stream && (settings().unwaited.empty() || settings().unwaited != event->after)) run_until(*event->stream, event->position);
    waited(*current);
    return enter();
}

DRIVER_API cuEventQuery(void* handle) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Event* event = static_cast<Event*>(handle);
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    if (!event->stream || event->stream->done >= event->position) return CUDA_SUCCESS;
    run_until(*event->stream, event->stream->done + 1);
    return current->lost ? CUDA_ERROR_LAUNCH_FAILED : CUDA_ERROR_NOT_READY;
}

DRIVER_API cuEventElapsedTime(float* milliseconds, void* begin_handle, void* end_handle) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Event *begin = static_cast<Event*>(begin_handle), *end = static_cast<Event*>(end_handle);
    if (!events.count(begin) || !events.count(end) || !begin->seconds || !end->seconds) return CUDA_ERROR_INVALID_HANDLE;
    if (*begin->seconds < 0 || *end->seconds < 0) return CUDA_ERROR_NOT_READY;
    *milliseconds = static_cast<float>((*end->seconds - *begin->seconds) * 1e3);
    return CUDA_SUCCESS;
}
