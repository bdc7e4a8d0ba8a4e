# isrbench with all that it needs: docs/hub.md#docker says how to build and run it.
ARG BASE=ubuntu:24.04
FROM ${BASE}

# Python's own package of the base, which CUDA's images of Ubuntu have as the plain one has; what OpenCV links to.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y libgl1 libglib2.0-0t64 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# The index that has the wanted build of torch (CPU, or a release of CUDA); empty = as the package index gives it.
ARG TORCH_INDEX=""
# Extras, such as demo or demo,realesrgan.
ARG EXTRAS=""
ENV PATH=/opt/isrbench/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt ./
# Gradio does not take the pinned Pillow.
RUN python3 -m venv /opt/isrbench \
    && case ",${EXTRAS}," in *,demo,*) sed -i "/^pillow==/d" constraints.txt ;; esac \
    && if [ -n "${TORCH_INDEX}" ]; then \
        pip install -c constraints.txt --index-url "${TORCH_INDEX}" torch torchvision; \
    fi
COPY . ./source
RUN pip install -c constraints.txt "./source${EXTRAS:+[${EXTRAS}]}" && rm -rf /src/source

# Weights and test sets that are fetched: mount a volume there to keep them.
ENV HF_HOME=/cache/huggingface TORCH_HOME=/cache/torch ISRBENCH_DATA=/data
RUN useradd --create-home --uid 1001 isrbench && mkdir -p /cache /data /work && chown isrbench /cache /work
USER 1001
WORKDIR /work
EXPOSE 7860
ENTRYPOINT ["isrbench"]
CMD ["--help"]
